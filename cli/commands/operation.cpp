#include "cli/commands/operation.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/output/progress.h"
#include "common/fs/unique_fd.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

sigset_t InterruptSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

/// The agent ends an operation at its deadline; this much later it is taken for stuck.
constexpr absl::Duration kGrace = absl::Seconds(15);

/// Watches for Ctrl-C and for an agent that does not end the operation in time, and keeps the progress display's clocks
/// going, on a thread of its own until it is destroyed.
class Watcher {
 public:
  Watcher(Context& context, AgentClient& client, ProgressView& view, absl::Time deadline)
      : context_(context), client_(client), view_(view), deadline_(deadline), stop_(::eventfd(0, EFD_CLOEXEC)) {
    sigset_t set = InterruptSignals();
    signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC));
    thread_ = std::thread([this] { Run(); });
  }
  ~Watcher() {
    std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }
  void SetOperation(const std::string& id) {
    std::lock_guard lock(mutex_);
    operation_id_ = id;
    if (interrupted_) {
      Cancel();
    }
  }
  bool interrupted() const { return interrupted_; }
  bool timed_out() const { return timed_out_; }

 private:
  void Run() {
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    int period = context_.terminal().err_is_tty ? 100 : -1;
    for (;;) {
      ::poll(fds, 2, Period(period));
      if ((fds[0].revents & POLLIN) != 0) {
        return;
      }
      if ((fds[1].revents & POLLIN) != 0) {
        signalfd_siginfo info{};
        (void)!::read(signals_.get(), &info, sizeof info);
        std::lock_guard lock(mutex_);
        if (interrupted_.exchange(true)) {
          // The second one means it: the operation is told already, and the agent ends it without us.
          ::_exit(kExitInterrupted);
        }
        context_.Err("\ninterrupted; waiting for the operation to end (again to leave at once)\n");
        Cancel();
      }
      if (absl::Now() > deadline_ + kGrace && !timed_out_.exchange(true)) {
        client_.Cancel();
      }
      view_.Tick();
    }
  }

  int Period(int wanted) const {
    if (timed_out_) {
      return wanted;
    }
    absl::Duration left = std::min(deadline_ + kGrace - absl::Now(), absl::Hours(1));
    int millis = static_cast<int>(std::max<std::int64_t>(absl::ToInt64Milliseconds(left) + 1, 1));
    return wanted < 0 ? millis : std::min(wanted, millis);
  }

  void Cancel() {
    if (operation_id_.empty()) {
      return;
    }
    agent::CancelOperationRequest request;
    request.set_operation_id(operation_id_);
    if (absl::Status status = client_.Call(request, absl::Now() + absl::Seconds(5)).status(); !status.ok()) {
      context_.Err(absl::StrCat("the operation could not be cancelled: ", status.message(), "\n"));
    }
  }

  Context& context_;
  AgentClient& client_;
  ProgressView& view_;
  const absl::Time deadline_;
  UniqueFd stop_, signals_;
  std::mutex mutex_;
  std::string operation_id_;
  std::atomic<bool> interrupted_ = false;
  std::atomic<bool> timed_out_ = false;
  std::thread thread_;
};

double SecondsOf(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + static_cast<double>(duration.nanos()) / 1e9;
}

}  // namespace

void HoldSignals() {
  sigset_t set = InterruptSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

multigres::provisioner::v1::OperationOptions OptionsUntil(absl::Time deadline) {
  multigres::provisioner::v1::OperationOptions options;
  absl::Duration left = deadline - absl::Now();
  if (left < absl::Hours(24)) {
    options.mutable_timeout()->set_seconds(absl::ToInt64Seconds(left));
    options.mutable_timeout()->set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(left % absl::Seconds(1))));
  }
  return options;
}

absl::StatusOr<multigres::cli::v1::OperationOutput> RunOperation(Context& context, absl::Time deadline,
                                                                 const OpenOperation& open, Steps steps) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  multigres::cli::v1::OperationOutput output;
  absl::Status result = absl::UnknownError("the agent ended the operation's stream without a result");
  const bool hidden = steps == Steps::kOnTerminal && !context.terminal().err_is_tty;
  ProgressView view(context.terminal(), hidden || context.args().Has("quiet") || context.format() != Format::kText);
  Watcher watcher(context, *client, view, deadline);
  absl::Status stream = open(*client, [&](const agent::OperationEvent& event) {
    if (output.operation_id().empty() && !event.operation_id().empty()) {
      output.set_operation_id(event.operation_id());
      watcher.SetOperation(event.operation_id());
    }
    output.set_kind(event.kind());
    output.set_cluster(event.cluster());
    view.Show(event.progress());
    if (event.progress().has_result()) {
      const auto& ended = event.progress().result();
      output.set_unchanged(ended.unchanged());
      output.set_elapsed_seconds(SecondsOf(ended.elapsed()));
      result = ResultOf(ended);
    }
    return !(watcher.interrupted() && output.operation_id().empty());  // else its cancellation ends it
  });
  view.Finish();
  if (watcher.timed_out()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "the agent did not end the operation in time",
                     {.reason = "TIMEOUT", .hint = "multigres agent logs shows what it does"});
  }
  if (watcher.interrupted() && output.operation_id().empty()) {
    return MakeError(absl::StatusCode::kCancelled, "interrupted",
                     {.reason = "INTERRUPTED", .hint = "the operation had not begun"});
  }
  MG_RETURN_IF_ERROR(stream);
  if (!result.ok()) {
    return watcher.interrupted() && result.code() == absl::StatusCode::kCancelled
               ? MakeError(absl::StatusCode::kCancelled, "interrupted",
                           {.reason = "INTERRUPTED",
                            .hint = "'multigres up' goes on from here, 'multigres down' stops what runs"})
               : result;
  }
  return output;
}

absl::Status AddStatus(Context& context, multigres::cli::v1::OperationOutput* output) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/false));
  if (context.format() != Format::kText) {
    agent::GetClusterRequest request;
    *request.mutable_cluster() = context.Selector();
    MG_ASSIGN_OR_RETURN(agent::GetClusterResponse cluster, client->Call(request, absl::Now() + absl::Seconds(10)));
    *output->mutable_status() = cluster.status();
  }
  agent::GetConnectionRequest request;
  *request.mutable_cluster() = context.Selector();
  MG_ASSIGN_OR_RETURN(agent::GetConnectionResponse response, client->Call(request, absl::Now() + absl::Seconds(10)));
  output->set_conninfo(response.conninfo());
  return absl::OkStatus();
}

}  // namespace mg::cli
