#include "agentd/provisioners/local/faults/fault.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/faults/disk_fill.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "google/protobuf/util/json_util.h"

namespace mg::local {
namespace {

// A tenth of the time, in turns that are short beside every time-out.
constexpr absl::Duration kStoppedPart = absl::Milliseconds(90);
constexpr absl::Duration kRunningPart = absl::Milliseconds(10);
/// A search for new connections takes at most a quarter of one processor.
constexpr absl::Duration kShortestPause = absl::Milliseconds(1);
constexpr int kPausePerSearch = 3;

}  // namespace

absl::Status WriteFaultRecord(const std::string& file, const FaultRecord& record) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  if (!google::protobuf::util::MessageToJsonString(record, &json, options).ok()) {
    return absl::InternalError("the fault's record cannot be written as JSON");
  }
  return WriteFileAtomically(file, json);
}

absl::StatusOr<FaultRecord> ReadFaultRecord(const std::string& file) {
  MG_ASSIGN_OR_RETURN(std::string json, ReadFile(file));
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  FaultRecord record;
  auto parsed = google::protobuf::util::JsonStringToMessage(json, &record, options);
  return parsed.ok() ? absl::StatusOr<FaultRecord>(record)
                     : absl::DataLossError(absl::StrCat(file, " is no record of a fault: ", parsed.ToString()));
}

Fault::Fault(FaultRecord record) : record_(std::move(record)), targets_(record_.targets()), partition_(record_) {}

absl::Status Fault::SignalTargets(int signal) {
  std::set<pid_t> told;
  // Parents first, and again until nobody new is there: a process may fork until it is stopped itself.
  for (bool grew = true; grew;) {
    grew = false;
    for (pid_t pid : TreeOf(targets_.Alive())) {
      if (!told.insert(pid).second) {
        continue;
      }
      grew = true;
      if (::kill(pid, signal) != 0 && errno != ESRCH) {
        return ErrnoStatus(errno, absl::StrCat("send signal ", signal, " to process ", pid));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Fault::Make(absl::Time until) {
  const std::string& kind = record_.kind();
  if (kind == "kill") {
    for (pid_t pid : targets_.Alive()) {
      if (::kill(pid, SIGKILL) != 0 && errno != ESRCH) {
        return ErrnoStatus(errno, absl::StrCat("kill process ", pid));
      }
    }
    return absl::OkStatus();
  }
  if (kind == "freeze" || kind == "slow") {
    stopped_ = true;
    return SignalTargets(SIGSTOP);
  }
  if (kind == "partition") {
    return partition_.Cut();
  }
  if (kind == "fill-disk") {
    return FillDisk(record_.fill_file(), static_cast<std::uint64_t>(std::max<std::int64_t>(0, record_.fill_bytes())),
                    [until] { return absl::Now() >= until; })
        .status();
  }
  return absl::InvalidArgumentError(absl::StrCat("'", kind, "' is no fault"));
}

absl::StatusOr<absl::Time> Fault::KeepUp() {
  if (record_.kind() == "partition") {
    absl::Time began = absl::Now();
    MG_RETURN_IF_ERROR(partition_.Follow());
    absl::Time ended = absl::Now();
    return ended + std::max(kShortestPause, kPausePerSearch * (ended - began));
  }
  if (record_.kind() == "slow") {
    stopped_ = !stopped_;
    MG_RETURN_IF_ERROR(SignalTargets(stopped_ ? SIGSTOP : SIGCONT));
    return absl::Now() + (stopped_ ? kStoppedPart : kRunningPart);
  }
  return absl::InfiniteFuture();
}

absl::Status Fault::Undo() {
  if (record_.kind() == "fill-disk") {
    return ::unlink(record_.fill_file().c_str()) == 0 || errno == ENOENT ? absl::OkStatus()
                                                                         : ErrnoStatus(errno, record_.fill_file());
  }
  if (record_.kind() == "freeze" || record_.kind() == "slow") {
    return SignalTargets(SIGCONT);
  }
  return record_.kind() == "partition" ? partition_.Mend() : absl::OkStatus();
}

}  // namespace mg::local
