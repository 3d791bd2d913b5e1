#include "components/multipooler/manager/data_watch.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/pgsql/connection.h"
#include "common/status/status.h"

namespace mg::multipooler {
namespace {

constexpr int kTries = 3;
// A damaged file may be one that PostgreSQL is about to replay.
constexpr absl::Duration kDamaged = absl::Seconds(10);
// A leader that is about to be replaced, or is being asked too much, serves its standbys again before.
constexpr absl::Duration kStands = absl::Seconds(30);
constexpr absl::Duration kLongestPause = absl::Minutes(30);

constexpr std::array kNotTheData = {"could not bind",
                                    "could not create any TCP/IP sockets",
                                    "could not create any Unix-domain sockets",
                                    "shared memory",
                                    "lock file",
                                    "No space left on device",
                                    "Cannot allocate memory",
                                    "Too many open files"};

// The server's own line that says why, of all that came with the error.
std::string Cause(const ErrorDetail& detail) {
  for (const char* level : {"PANIC:", "FATAL:"}) {
    for (const std::string& line : detail.log_tail) {
      if (size_t at = line.find(level); at != std::string::npos) {
        return line.substr(at);
      }
    }
  }
  return detail.log_tail.empty() ? "" : detail.log_tail.back();
}

}  // namespace

bool BlamesData(const absl::Status& start) {
  std::optional<ErrorDetail> detail = DetailOf(start);
  if (!detail.has_value() || detail->reason != "POSTGRES_START_FAILED" ||
      absl::StrContains(start.message(), "(signal ")) {
    return false;
  }
  return std::none_of(kNotTheData.begin(), kNotTheData.end(), [&](const char* words) {
    return std::any_of(detail->log_tail.begin(), detail->log_tail.end(),
                       [&](const std::string& line) { return absl::StrContains(line, words); });
  });
}

void DataWatch::Tried(const absl::Status& start) {
  if (start.ok()) {
    failed_starts_ = 0;
  } else if (BlamesData(start)) {
    ++failed_starts_;
    start_error_ = Cause(*DetailOf(start));
  }
}

void DataWatch::Asked(const absl::Status& answer, absl::Time now) {
  std::string state = pgsql::SqlStateOf(answer);
  // Classes "system error" and "internal error" (data_corrupted is one).
  if (absl::StartsWith(state, "58") || absl::StartsWith(state, "XX")) {
    damaged_since_ = std::min(damaged_since_, now);
    damage_ = std::string(answer.message());
  } else {
    damaged_since_ = absl::InfiniteFuture();
  }
}

void DataWatch::Followed(bool streams, const std::string& lsn, absl::Time now) {
  bool moves = lsn != lsn_;
  lsn_ = lsn;
  stands_since_ = streams ? absl::InfiniteFuture() : moves ? now : std::min(stands_since_, now);
}

void DataWatch::Replaced(absl::Time now) {
  absl::Time next = now + pause_;
  absl::Duration pause = std::min(pause_ * 2, kLongestPause);
  *this = DataWatch();
  not_before_ = next;
  pause_ = pause;
}

void DataWatch::Streams() { *this = DataWatch(); }

std::string DataWatch::WhyUnusable(absl::Time now) const {
  if (now < not_before_) {
    return "";
  }
  if (failed_starts_ >= kTries) {
    return absl::StrCat("PostgreSQL has not started from it ", failed_starts_, " times: ", start_error_);
  }
  if (now - damaged_since_ >= kDamaged) {
    return absl::StrCat("PostgreSQL finds it damaged: ", damage_);
  }
  return now - stands_since_ >= kStands ? "it neither streams from the leader nor replays" : "";
}

}  // namespace mg::multipooler
