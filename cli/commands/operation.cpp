#include "cli/commands/operation.h"

#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/output/progress.h"
#include "common/status/status.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

/// The agent ends an operation at its deadline; this much later it is taken for stuck.
constexpr absl::Duration kGrace = absl::Seconds(15);

/// The operation that Ctrl-C calls off, as soon as its name is known.
class Cancellation {
 public:
  Cancellation(Context& context, AgentClient& client) : context_(context), client_(client) {}
  void SetOperation(const std::string& id) {
    std::lock_guard lock(mutex_);
    operation_id_ = id;
    if (wanted_) {
      Cancel();
    }
  }
  void Want() {
    std::lock_guard lock(mutex_);
    wanted_ = true;
    Cancel();
  }

 private:
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
  std::mutex mutex_;  ///< guards the rest
  std::string operation_id_;
  bool wanted_ = false;
};

double SecondsOf(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + static_cast<double>(duration.nanos()) / 1e9;
}

}  // namespace

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
  Cancellation cancellation(context, *client);
  StreamWatcher watcher(
      context, view, deadline + kGrace,
      {.interrupted =
           [&] {
             context.Err("\ninterrupted; waiting for the operation to end (again to leave at once)\n");
             cancellation.Want();
           },
       .stuck = [&] { client->Cancel(); }});
  absl::Status stream = open(*client, [&](const agent::OperationEvent& event) {
    if (output.operation_id().empty() && !event.operation_id().empty()) {
      output.set_operation_id(event.operation_id());
      cancellation.SetOperation(event.operation_id());
    }
    output.set_kind(event.kind());
    output.set_cluster(event.cluster());
    view.Show(event.progress());
    if (!event.progress().message().empty()) {
      output.add_messages(event.progress().message());
    }
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
