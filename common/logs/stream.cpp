#include <poll.h>
#include <re2/re2.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/logs/log_files.h"
#include "common/logs/source_reader.h"
#include "common/status/status.h"

namespace mg::logs {
namespace {

constexpr std::uint32_t kWatched = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr absl::Duration kBlindPeriod = absl::Milliseconds(100);

int LevelRank(const std::string& level) {
  return level == "debug" ? 1 : level == "info" ? 2 : level == "warn" ? 3 : level == "error" ? 4 : 0;
}

class StreamImpl final : public Stream {
 public:
  explicit StreamImpl(Query query) : query_(std::move(query)) {}

  absl::Status Start() {
    if (!query_.grep.empty()) {
      grep_ = std::make_unique<RE2>(query_.grep, RE2::Quiet);
      if (!grep_->ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", query_.grep, "' is not a regular expression: ", grep_->error()));
      }
    }
    if (!query_.level.empty() && LevelRank(query_.level) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", query_.level, "' is not a level: debug, info, warn or error"));
    }
    stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    // Watched before the files are read: what comes in between is seen by one or the other.
    if (query_.follow) {
      watch_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
      WatchDirectories();
    }
    for (const Source& source : query_.sources) {
      readers_.push_back(std::make_unique<SourceReader>(source));
    }
    if (!query_.cursor.empty()) {
      MG_RETURN_IF_ERROR(SeekCursor());
    } else if (query_.tail.has_value() && grep_ == nullptr && query_.level.empty() &&
               query_.until == absl::InfiniteFuture()) {
      for (auto& reader : readers_) {
        reader->SeekTail(*query_.tail);
      }
    } else {
      for (auto& reader : readers_) {
        reader->SeekTime(query_.since);
      }
    }
    for (const auto& reader : readers_) {
      given_.push_back(reader->Here());
    }
    tail_wanted_ = query_.tail.has_value() && query_.cursor.empty();
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Record>> Next(size_t limit) override {
    if (tail_wanted_) {
      ReadTail();
      tail_wanted_ = false;
    }
    std::vector<Record> batch;
    for (;;) {
      while (batch.size() < limit && !held_.empty()) {
        batch.push_back(Give());
      }
      while (batch.size() < limit && held_.empty()) {
        std::optional<Found> found = NextMerged();
        if (!found.has_value()) {
          break;
        }
        held_.push_back(*std::move(found));
        batch.push_back(Give());
      }
      if (!batch.empty()) {
        return batch;
      }
      if (cancelled_) {
        return absl::CancelledError("the log stream was ended");
      }
      if (!query_.follow || absl::Now() >= query_.until) {
        return batch;
      }
      Wait();
    }
  }

  std::string cursor() const override {
    std::string text = "1";
    for (size_t i = 0; i < readers_.size(); ++i) {
      absl::StrAppend(&text, ";", readers_[i]->source().name, "=", given_[i].inode, ":", given_[i].offset, ":",
                      absl::ToUnixNanos(given_[i].time));
    }
    return text;
  }

  void Cancel() override {
    cancelled_ = true;
    std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
  }

 private:
  bool Wanted(Record* record) const {
    if (record->time < query_.since) {
      return false;
    }
    record->level = ParseLevel(record->text);
    if (!query_.level.empty() && !record->level.empty() && LevelRank(record->level) < LevelRank(query_.level)) {
      return false;
    }
    return grep_ == nullptr || RE2::PartialMatch(record->text, *grep_);
  }

  /// A record on its way, and where its source goes on behind it.
  struct Found {
    Record record;
    size_t reader = 0;
    Position behind;
  };

  std::optional<Found> NextMerged() {
    while (!cancelled_) {
      size_t first = readers_.size();
      absl::Time time;
      for (size_t i = 0; i < readers_.size(); ++i) {
        const Record* record = readers_[i]->Peek();
        if (record != nullptr && (first == readers_.size() || record->time < time)) {
          first = i;
          time = record->time;
        }
      }
      if (first == readers_.size() || time >= query_.until) {
        return std::nullopt;
      }
      Found found{.record = readers_[first]->Take(), .reader = first, .behind = readers_[first]->position()};
      if (Wanted(&found.record)) {
        return found;
      }
      if (held_.empty()) {
        given_[first] = found.behind;
      }
    }
    return std::nullopt;
  }

  /// Takes the oldest of those held; the cursor is behind it from now on.
  Record Give() {
    Found found = std::move(held_.front());
    held_.pop_front();
    given_[found.reader] = found.behind;
    return std::move(found.record);
  }

  void ReadTail() {
    auto limit = static_cast<size_t>(std::max(*query_.tail, 0));
    while (std::optional<Found> found = NextMerged()) {
      held_.push_back(*std::move(found));
      if (held_.size() > limit) {
        (void)Give();
      }
    }
  }

  absl::Status SeekCursor() {
    std::vector<std::string> parts = absl::StrSplit(query_.cursor, ';');
    if (parts[0] != "1") {
      return absl::InvalidArgumentError("the cursor is not one of ours");
    }
    for (auto& reader : readers_) {
      bool found = false;
      for (const std::string& part : parts) {
        std::uint64_t inode = 0;
        std::int64_t offset = 0, nanos = 0;
        std::vector<std::string> numbers = absl::StrSplit(part.substr(std::min(part.size(), part.rfind('=') + 1)), ':');
        if (absl::StartsWith(part, absl::StrCat(reader->source().name, "=")) && numbers.size() == 3 &&
            absl::SimpleAtoi(numbers[0], &inode) && absl::SimpleAtoi(numbers[1], &offset) &&
            absl::SimpleAtoi(numbers[2], &nanos)) {
          // What ToUnixNanos makes of InfinitePast.
          bool no_time = nanos == std::numeric_limits<std::int64_t>::min();
          reader->SeekPosition({inode, offset, no_time ? absl::InfinitePast() : absl::FromUnixNanos(nanos)});
          found = true;
        }
      }
      if (!found) {
        reader->SeekTime(query_.since);
      }
    }
    return absl::OkStatus();
  }

  void WatchDirectories() {
    blind_ = !watch_.valid();
    for (const Source& source : query_.sources) {
      // A component that was never started has no directory yet; the nearest one above tells when it comes.
      std::string directory = source.directory;
      while (::inotify_add_watch(watch_.get(), directory.c_str(), kWatched) < 0) {
        if (errno != ENOENT || directory == "/" || directory == ".") {
          blind_ = true;  // the user has no watches left: look from time to time
          break;
        }
        directory = DirName(directory);
      }
    }
  }

  void Wait() {
    pollfd fds[] = {{watch_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    absl::Duration bound = std::min(query_.until - absl::Now(), blind_ ? kBlindPeriod : absl::Hours(1));
    ::poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(std::max(bound, absl::ZeroDuration()))) + 1);
    alignas(inotify_event) char events[16384];
    bool changed = blind_;
    ssize_t n = 0;
    while ((n = ::read(watch_.get(), events, sizeof events)) > 0) {
      for (char* at = events; at < events + n;) {
        auto* event = reinterpret_cast<inotify_event*>(at);
        changed |= (event->mask & ~static_cast<std::uint32_t>(IN_MODIFY)) != 0;
        at += sizeof(inotify_event) + event->len;
      }
    }
    if (changed) {
      WatchDirectories();
    }
  }

  const Query query_;
  std::unique_ptr<RE2> grep_;
  UniqueFd watch_, stop_;
  std::atomic<bool> cancelled_ = false;
  std::vector<std::unique_ptr<SourceReader>> readers_;
  std::vector<Position> given_;  ///< of each reader: behind what Next gave
  std::deque<Found> held_;
  bool tail_wanted_ = false;
  bool blind_ = false;  ///< inotify does not tell us all
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stream>> Stream::Open(Query query) {
  auto stream = std::make_unique<StreamImpl>(std::move(query));
  MG_RETURN_IF_ERROR(stream->Start());
  return stream;
}

}  // namespace mg::logs
