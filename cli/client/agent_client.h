/// The CLI's view of the agent: finds its socket, starts it when it must, connects, and offers each RPC of AgentService
/// as a plain call on message values. Knows no command and prints nothing. One object may be used from several threads;
/// calls block. Errors carry the agent's ErrorDetail (common/status).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "multigres/agent/v1/agent.pb.h"

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace mg::cli {

namespace agent = multigres::agent::v1;

struct AgentOptions {
  /// This process's whole environment: it chooses the place (MULTIGRES_HOME, MULTIGRES_AGENT_SOCKET, XDG_RUNTIME_DIR,
  /// XDG_DATA_HOME, HOME), and a started agent gets it.
  std::map<std::string, std::string> environment;
  bool start = true;                                  ///< start the agent when there is none
  absl::Duration connect_timeout = absl::Seconds(5);  ///< until one that runs takes the connection
  absl::Duration start_timeout = absl::Seconds(15);   ///< until a started agent answers
  std::string program;                                ///< empty: multigres-agent beside the running program
};

/// Where the agent of an environment is, whether it runs or not.
struct AgentPlace {
  std::string home;
  bool home_is_explicit = false;
  std::string socket;
  std::string discovery;
  std::string log_file;
};
absl::StatusOr<AgentPlace> FindAgent(const std::map<std::string, std::string>& environment);

class AgentClient {
 public:
  /// Connects; starts the agent when there is none and `start` says so. UNAVAILABLE with reason AGENT_NOT_RUNNING when
  /// there is none and it must not be started; PERMISSION_DENIED when the socket or its directory is somebody else's or
  /// open to others; DEADLINE_EXCEEDED; what the agent itself said when it could not start.
  static absl::StatusOr<std::unique_ptr<AgentClient>> Connect(const AgentOptions& options);
  ~AgentClient();

  const AgentPlace& place() const;
  bool started() const;  ///< Connect started the agent
  /// What the agent wrote about itself beside its socket, if it is not simply our version; unset too when not readable.
  std::optional<agent::GetInfoResponse> Discovered() const;

  // Unary calls. `deadline` bounds the whole call. A question to an agent that dies meanwhile is asked once more of the
  // next one, which is started where `start` says so; an order (Shutdown, CancelOperation, SignalComponent) is not.
  absl::StatusOr<agent::GetInfoResponse> Call(const agent::GetInfoRequest& request, absl::Time deadline);
  absl::StatusOr<agent::ShutdownResponse> Call(const agent::ShutdownRequest& request, absl::Time deadline);
  absl::StatusOr<agent::ListClustersResponse> Call(const agent::ListClustersRequest& request, absl::Time deadline);
  absl::StatusOr<agent::ListNamesResponse> Call(const agent::ListNamesRequest& request, absl::Time deadline);
  absl::StatusOr<agent::GetClusterResponse> Call(const agent::GetClusterRequest& request, absl::Time deadline);
  absl::StatusOr<agent::RegisterClusterResponse> Call(const agent::RegisterClusterRequest& request,
                                                      absl::Time deadline);
  absl::StatusOr<agent::GetConnectionResponse> Call(const agent::GetConnectionRequest& request, absl::Time deadline);
  absl::StatusOr<agent::PlanUpResponse> Call(const agent::PlanUpRequest& request, absl::Time deadline);
  absl::StatusOr<agent::PlanCleanResponse> Call(const agent::PlanCleanRequest& request, absl::Time deadline);
  absl::StatusOr<agent::ListOperationsResponse> Call(const agent::ListOperationsRequest& request, absl::Time deadline);
  absl::StatusOr<agent::CancelOperationResponse> Call(const agent::CancelOperationRequest& request,
                                                      absl::Time deadline);

  absl::StatusOr<agent::SignalComponentResponse> Call(const agent::SignalComponentRequest& request,
                                                      absl::Time deadline);
  absl::StatusOr<agent::ExplainComponentResponse> Call(const agent::ExplainComponentRequest& request,
                                                       absl::Time deadline);

  /// What a streaming call's reader returns: false ends the stream early (the call is then OK).
  template <typename T>
  using Reader = std::function<bool(const T&)>;

  // Operations. An operation that failed is an OK stream whose last event has a result with a failure; see
  // ResultOf. An error here means that the operation was not begun (unknown cluster, bad configuration, busy:
  // reason CLUSTER_BUSY), or that the connection broke: the operation then goes on without this reader, and
  // JoinOperation follows it again. To end an operation (Ctrl-C), call CancelOperation and read on until the result.
  absl::Status Stream(const agent::UpRequest& request, const Reader<agent::OperationEvent>& reader);
  absl::Status Stream(const agent::DownRequest& request, const Reader<agent::OperationEvent>& reader);
  absl::Status Stream(const agent::RestartRequest& request, const Reader<agent::OperationEvent>& reader);
  absl::Status Stream(const multigres::provisioner::v1::InjectFaultRequest& request,
                      const Reader<agent::OperationEvent>& reader);
  absl::Status Stream(const agent::JoinOperationRequest& request, const Reader<agent::OperationEvent>& reader);
  absl::Status StartComponent(const agent::ComponentRequest& request, const Reader<agent::OperationEvent>& reader);
  absl::Status StopComponent(const agent::ComponentRequest& request, const Reader<agent::OperationEvent>& reader);
  absl::Status RestartComponent(const agent::ComponentRequest& request, const Reader<agent::OperationEvent>& reader);

  /// Gets each message of TailLogs, the text of one in text form apart from it, in pieces that are valid during the
  /// call: it is not copied on its way.
  using LogReader = std::function<bool(const agent::TailLogsResponse&, const std::vector<absl::string_view>& text)>;
  absl::Status Stream(const agent::TailLogsRequest& request, const LogReader& reader,
                      absl::Time deadline = absl::InfiniteFuture());
  absl::Status Stream(const agent::WatchEventsRequest& request, const Reader<agent::WatchEventsResponse>& reader);
  absl::Status Stream(const agent::WatchStateRequest& request, const Reader<agent::WatchStateResponse>& reader);

  /// Ends every call under way with CANCELLED, and all that are begun later. Any thread.
  void Cancel();

  /// The channel, for stubs of the Admin API (multiadmin.MultiadminService), which the agent forwards. Each such call
  /// must name its cluster by SelectCluster.
  std::shared_ptr<grpc::Channel> channel() const;

 private:
  struct Impl;
  explicit AgentClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Names the cluster whose Admin API a forwarded call goes to.
void SelectCluster(grpc::ClientContext* context, const multigres::provisioner::v1::ClusterSelector& cluster);

/// How a call that went through the agent ended: what the agent and the Admin API say has details, so UNAVAILABLE
/// without any is the agent's own end (AGENT_GONE).
absl::Status FromAgent(const grpc::Status& status);

/// The failure of an operation as an error; OK for success.
absl::Status ResultOf(const multigres::provisioner::v1::OperationResult& result);

/// FAILED_PRECONDITION when the agent speaks no protocol of ours.
absl::Status CheckProtocol(const agent::GetInfoResponse& info);
/// One sentence when the agent is of another version than this program, with what to do; empty else.
std::string VersionWarning(const agent::GetInfoResponse& info, const std::string& own_version);

}  // namespace mg::cli
