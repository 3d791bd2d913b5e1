#include "agentd/provisioners/local/fault_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/faults/fault.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "google/protobuf/util/json_util.h"

namespace mg::local {
namespace {

namespace v1 = provisioners::v1;
using provisioners::OperationContext;

/// A helper that was told to end and does not is ended.
constexpr absl::Duration kEndLimit = absl::Seconds(15);
constexpr absl::Duration kUndoLimit = absl::Seconds(20);

/// The helper program with a pipe to its standard input, whose end tells it to end, and one from its standard output.
class Helper {
 public:
  static absl::StatusOr<std::unique_ptr<Helper>> Start(const std::string& program, const std::string& record_file) {
    std::array<int, 2> in = {-1, -1};
    std::array<int, 2> out = {-1, -1};
    if (::pipe2(in.data(), O_CLOEXEC) != 0) {
      return ErrnoStatus(errno, "pipe");
    }
    auto helper = std::make_unique<Helper>();
    UniqueFd read_in(in[0]);
    helper->in_.Reset(in[1]);
    if (::pipe2(out.data(), O_CLOEXEC) != 0) {
      return ErrnoStatus(errno, "pipe");
    }
    helper->out_.Reset(out[0]);
    UniqueFd write_out(out[1]);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_adddup2(&actions, read_in.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, write_out.get(), STDOUT_FILENO);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    std::vector<std::string> words = {program, "run", record_file};
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    int error = ::posix_spawn(&helper->pid_, program.c_str(), &actions, &attributes, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      helper->pid_ = -1;
      return ErrnoStatus(error, absl::StrCat("start ", program));
    }
    return helper;
  }
  ~Helper() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }

  void TellToEnd() { in_.Reset(); }
  /// Its next line; nullopt at its end, at the deadline, or when `cancel` (may be null) comes first.
  std::optional<std::string> Line(absl::Time deadline, const provisioners::CancelToken* cancel) {
    for (;;) {
      if (size_t end = text_.find('\n'); end != std::string::npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      pollfd fds[2] = {{.fd = out_.get(), .events = POLLIN},
                       {.fd = cancel != nullptr ? cancel->fd() : -1, .events = POLLIN}};
      absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) {
        return std::nullopt;
      }
      timespec span = absl::ToTimespec(std::min(left, absl::Hours(1)));
      if (::ppoll(fds, 2, &span, nullptr) <= 0) {
        continue;
      }
      if (fds[1].revents != 0) {
        return std::nullopt;
      }
      std::array<char, 4096> buffer{};
      ssize_t n = ::read(out_.get(), buffer.data(), buffer.size());
      if (n <= 0) {
        ended_ = true;
        return std::nullopt;
      }
      text_.append(buffer.data(), static_cast<size_t>(n));
    }
  }
  bool ended() const { return ended_; }

 private:
  pid_t pid_ = -1;
  UniqueFd in_, out_;
  std::string text_;
  bool ended_ = false;
};

void Tell(OperationContext& context, const std::string& id, v1::StepState state, const std::string& detail,
          absl::Time began) {
  v1::StepProgress step;
  step.set_id(id);
  step.set_group(id);
  step.set_state(state);
  step.set_detail(detail);
  rpc::SetDuration(absl::Now() - began, step.mutable_elapsed());
  context.step(step);
}

}  // namespace

void FaultNotice::Expect(const std::string& cluster, std::set<std::string> components) {
  std::lock_guard lock(mutex_);
  expected_[cluster] = {.components = std::move(components), .first = std::nullopt};
}

void FaultNotice::See(const supervisor::News& news) {
  absl::Time now = absl::Now();
  std::lock_guard lock(mutex_);
  auto expected = expected_.find(news.who.cluster);
  const bool bad = news.type == "exited" || news.type == "unready" || news.type == "not-answering";
  if (bad && expected != expected_.end() && expected->second.components.contains(news.who.component) &&
      !expected->second.first) {
    expected->second.first = First{.when = now, .what = news.message};
    seen_.notify_all();
  }
}

std::optional<FaultNotice::First> FaultNotice::Take(const std::string& cluster, absl::Duration wait) {
  std::unique_lock lock(mutex_);
  seen_.wait_for(lock, absl::ToChronoMicroseconds(wait), [&] {
    auto expected = expected_.find(cluster);
    return expected == expected_.end() || expected->second.first.has_value();
  });
  auto expected = expected_.extract(cluster);
  return expected.empty() ? std::nullopt : expected.mapped().first;
}

absl::StatusOr<provisioners::v1::FaultReport> RunFault(const std::string& program, const std::string& record_file,
                                                       const multigres::state::v1::FaultRecord& record,
                                                       OperationContext& context) {
  MG_RETURN_IF_ERROR(UndoFault(program, record_file));  // of a former one whose end nobody saw
  absl::Time began = absl::Now();
  Tell(context, "probe", v1::STEP_STATE_RUNNING, "", began);
  MG_RETURN_IF_ERROR(WriteFaultRecord(record_file, record));
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Helper> helper, Helper::Start(program, record_file));
  std::optional<v1::FaultReport> report;
  std::string failure;
  std::string step = "probe";
  absl::Time deadline = context.deadline;
  const provisioners::CancelToken* cancel = context.cancel;
  for (;;) {
    std::optional<std::string> line = helper->Line(deadline, cancel);
    if (!line) {
      if (helper->ended() || cancel == nullptr) {
        break;
      }
      // Called off, or out of time: it undoes the fault, and says so.
      helper->TellToEnd();
      cancel = nullptr;
      deadline = absl::Now() + kEndLimit;
      continue;
    }
    if (*line == "injected") {
      Tell(context, step, v1::STEP_STATE_DONE, "", began);
      began = absl::Now();
      step = "fault";
      Tell(context, step, v1::STEP_STATE_RUNNING, absl::StrCat(record.kind(), " ", record.target()), began);
    } else if (*line == "undone") {
      Tell(context, step, v1::STEP_STATE_DONE, absl::StrCat(record.kind(), " ", record.target()), began);
      began = absl::Now();
      step = record.gateways().empty() ? "" : "recovery";  // only a probe's writes show it
      if (!step.empty()) {
        Tell(context, step, v1::STEP_STATE_RUNNING, "", began);
      }
    } else if (absl::string_view rest = *line; absl::ConsumePrefix(&rest, "report ")) {
      report.emplace();
      if (!google::protobuf::util::JsonStringToMessage(std::string(rest), &*report).ok()) {
        report.reset();
      }
    } else if (absl::ConsumePrefix(&rest, "failed ")) {
      failure = std::string(rest);
    }
  }
  helper.reset();
  if (report && !std::all_of(report->gateways().begin(), report->gateways().end(),
                             [](const v1::GatewayReport& gateway) { return gateway.has_first_write_seconds(); })) {
    failure = "no write has come through every gateway yet";
  }
  if (!step.empty() || !report) {
    Tell(context, step.empty() ? "fault" : step,
         report && failure.empty() ? v1::STEP_STATE_DONE : v1::STEP_STATE_FAILED, failure, began);
  }
  // Nothing to do when the helper has done it.
  MG_RETURN_IF_ERROR(WithContext(UndoFault(program, record_file), "the fault may still be in force"));
  if (report) {
    return *std::move(report);
  }
  const bool refused = absl::StrContains(failure, "not permitted") || absl::StrContains(failure, "Permission denied");
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   failure.empty() ? "the helper that held the fault ended without a word" : failure,
                   {.reason = "FAULT_FAILED",
                    .hint = refused ? "the kernel must let processes of one user trace each other "
                                      "(kernel.yama.ptrace_scope = 0), or the agent must run as root"
                                    : ""});
}

void CompleteReport(const multigres::state::v1::FaultRecord& record, const std::optional<FaultNotice::First>& noticed,
                    v1::FaultReport* report) {
  report->set_kind(record.kind());
  report->set_target(record.target());
  for (const auto& process : record.targets()) {
    report->add_components(process.component());
  }
  const absl::Time injected =
      absl::FromUnixSeconds(report->injected_at().seconds()) + absl::Nanoseconds(report->injected_at().nanos());
  const double seconds = noticed ? std::max(0.0, absl::ToDoubleSeconds(noticed->when - injected)) : 0;
  if (noticed && (!report->has_detected_seconds() || seconds < report->detected_seconds())) {
    report->set_detected_seconds(seconds);
    report->set_detected_by("agent");
    report->set_detection(noticed->what);
  }
}

absl::Status UndoFault(const std::string& program, const std::string& record_file) {
  if (!Exists(record_file)) {
    return absl::OkStatus();
  }
  return RunHelperOk({.argv = {program, "undo", record_file}, .timeout = kUndoLimit}).status();
}

}  // namespace mg::local
