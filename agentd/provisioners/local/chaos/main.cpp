// multigres-chaos: holds one fault for the agent. It undoes the fault when its time is over, when its standard input
// ends (the agent ended, or called it off), and on SIGTERM and SIGINT; should it be killed itself, the agent undoes it
// by the record.
//
//   multigres-chaos run RECORD     lines on standard output: "injected", "undone", then "report <JSON>" or
//                                  "failed <words>"
//   multigres-chaos undo RECORD    undoes what the record says, and removes it
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/chaos/orch_watch.h"
#include "agentd/provisioners/local/chaos/probe.h"
#include "agentd/provisioners/local/faults/fault.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"
#include "common/process/process_id.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "google/protobuf/util/json_util.h"

namespace {

using mg::local::Fault;
using mg::local::FaultRecord;
using multigres::provisioner::v1::FaultReport;

constexpr absl::Duration kProbeStartLimit = absl::Seconds(10);
constexpr absl::Duration kRecoveryLimit = absl::Seconds(30);
constexpr absl::Duration kReadBackLimit = absl::Seconds(10);
constexpr absl::Duration kLockLimit = absl::Seconds(5);

void Say(const std::string& line) {
  std::string text = absl::StrCat(line, "\n");
  // Nobody may be there to read it any more; the fault is undone all the same.
  (void)!::write(STDOUT_FILENO, text.data(), text.size());
}

/// What ends the fault early.
class Ending {
 public:
  Ending() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
    signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC));
  }
  /// Waits until then, or until it has come; true: it has.
  bool WaitUntil(absl::Time until) {
    pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals_.get(), .events = POLLIN}};
    while (!come_) {
      absl::Duration left = std::min(until - absl::Now(), absl::Hours(1));
      timespec span = absl::ToTimespec(std::max(left, absl::ZeroDuration()));
      if (::ppoll(fds, 2, &span, nullptr) > 0) {
        come_ = true;
      } else if (left <= absl::ZeroDuration()) {
        return false;
      }
    }
    return true;
  }

 private:
  mg::UniqueFd signals_;
  bool come_ = false;
};

absl::Status Hold(Fault* fault, absl::Time until, Ending* ending) {
  for (;;) {
    MG_ASSIGN_OR_RETURN(absl::Time next, fault->KeepUp());
    if (ending->WaitUntil(std::min(next, until)) || absl::Now() >= until) {
      return absl::OkStatus();
    }
  }
}

absl::Status UndoAndForget(Fault* fault, const std::string& file) {
  MG_RETURN_IF_ERROR(fault->Undo());
  return mg::RemoveTree(file);
}

absl::Status Run(const std::string& file) {
  Ending ending;
  MG_ASSIGN_OR_RETURN(FaultRecord record, mg::local::ReadFaultRecord(file));
  Fault fault(record);
  std::unique_ptr<mg::local::Probe> probe;
  if (record.gateways_size() > 0) {
    MG_ASSIGN_OR_RETURN(std::string password, mg::ReadFile(record.password_file()));
    probe = std::make_unique<mg::local::Probe>(record, std::string(absl::StripAsciiWhitespace(password)));
    if (absl::Status started = probe->Start(absl::Now() + kProbeStartLimit); !started.ok()) {
      (void)mg::RemoveTree(file);  // nothing was done yet
      return started;
    }
  }
  mg::local::OrchWatch orchs(record);
  const bool kill = record.kind() == "kill";
  FaultReport report;
  orchs.Mark();
  absl::Time begun = absl::Now();
  const absl::Time until = begun + absl::Milliseconds(record.duration_ms());
  absl::Status made = fault.Make(until);
  // A cut takes some milliseconds; a write that was begun before its end may have passed.
  const absl::Time injected = kill ? begun : absl::Now();
  if (made.ok()) {
    Say("injected");
    made = kill ? absl::OkStatus() : Hold(&fault, until, &ending);
  }
  MG_RETURN_IF_ERROR(UndoAndForget(&fault, file));
  const absl::Time undone = absl::Now();
  MG_RETURN_IF_ERROR(made);
  Say("undone");
  if (!kill) {
    report.set_undone_seconds(absl::ToDoubleSeconds(undone - injected));
  }
  const absl::Time limit = absl::Now() + kRecoveryLimit;
  while (probe != nullptr && !probe->AllWroteSince(undone) && absl::Now() < limit) {
    if (ending.WaitUntil(absl::Now() + absl::Milliseconds(20))) {
      break;
    }
  }
  mg::rpc::SetTime(injected, report.mutable_injected_at());
  if (probe != nullptr) {
    probe->Finish(injected, kReadBackLimit, &report);
  }
  if (auto first = orchs.first()) {
    report.set_detected_seconds(std::max(0.0, absl::ToDoubleSeconds(first->when - injected)));
    report.set_detected_by(first->by);
    report.set_detection(first->what);
  }
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(report, &json).ok()) {
    return absl::InternalError("the report cannot be written as JSON");
  }
  Say(absl::StrCat("report ", json));
  return absl::OkStatus();
}

absl::Status Undo(const std::string& file) {
  absl::StatusOr<FaultRecord> record = mg::local::ReadFaultRecord(file);
  if (absl::IsNotFound(record.status())) {
    return absl::OkStatus();
  }
  MG_RETURN_IF_ERROR(record.status());
  if (record->boot_id() != mg::BootId() && record->kind() != "fill-disk") {
    return mg::RemoveTree(file);  // no process outlived that
  }
  Fault fault(*std::move(record));
  return UndoAndForget(&fault, file);
}

/// The holder of a fault has this lock; whoever wants to undo it waits for the holder, which does that itself when it
/// can.
absl::StatusOr<mg::FileLock> Lock(const std::string& file, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  for (;;) {
    absl::StatusOr<mg::FileLock> lock = mg::FileLock::TryAcquire(absl::StrCat(file, ".lock"));
    if (lock.ok() || !absl::IsUnavailable(lock.status()) || absl::Now() >= deadline) {
      return lock;
    }
    ::poll(nullptr, 0, 10);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string word = argc == 3 ? argv[1] : "";
  const std::string file = argc == 3 ? argv[2] : "";
  absl::Status status = absl::InvalidArgumentError("usage: multigres-chaos run|undo RECORD");
  if (word == "run" || word == "undo") {
    absl::StatusOr<mg::FileLock> lock = Lock(file, word == "undo" ? kLockLimit : absl::ZeroDuration());
    // A holder that does not end is frozen or stuck: its fault is undone behind its back.
    status = word == "undo" ? Undo(file) : lock.ok() ? Run(file) : lock.status();
  }
  if (!status.ok()) {
    Say(absl::StrCat("failed ", status.message()));
    std::fprintf(stderr, "multigres-chaos: %s\n", std::string(status.message()).c_str());
  }
  return status.ok() ? 0 : 1;
}
