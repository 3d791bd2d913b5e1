/// AgentService's handlers. Private to agentd/rpc.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agentd/events/event_log.h"
#include "agentd/events/state_feed.h"
#include "agentd/operations/registry.h"
#include "agentd/provisioners/contract.h"
#include "agentd/rpc/pull_stream.h"
#include "agentd/rpc/worker_pool.h"
#include "multigres/agent/v1/agent.grpc.pb.h"

namespace mg::rpc {

namespace agent = multigres::agent::v1;
namespace provisioner = multigres::provisioner::v1;

/// What handlers work with; all of it outlives the server.
struct Domain {
  provisioners::Provisioner& provisioner;
  operations::Registry& registry;
  events::EventLog& events;
  WorkerPool& workers;
  std::function<void()> shutdown;
};

/// TailLogs' messages are made by hand (log_message.h).
using AgentServiceBase = agent::AgentService::WithRawCallbackMethod_TailLogs<agent::AgentService::CallbackService>;

class AgentServiceImpl final : public AgentServiceBase {
 public:
  AgentServiceImpl(Domain domain, agent::GetInfoResponse info) : domain_(std::move(domain)), info_(std::move(info)) {}

  // info and clusters: agent_service_clusters.cpp
  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext*, const agent::GetInfoRequest*,
                                    agent::GetInfoResponse*) override;
  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext*, const agent::ShutdownRequest*,
                                     agent::ShutdownResponse*) override;
  grpc::ServerUnaryReactor* ListClusters(grpc::CallbackServerContext*, const agent::ListClustersRequest*,
                                         agent::ListClustersResponse*) override;
  grpc::ServerUnaryReactor* ListNames(grpc::CallbackServerContext*, const agent::ListNamesRequest*,
                                      agent::ListNamesResponse*) override;
  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext*, const agent::GetClusterRequest*,
                                       agent::GetClusterResponse*) override;
  grpc::ServerUnaryReactor* RegisterCluster(grpc::CallbackServerContext*, const agent::RegisterClusterRequest*,
                                            agent::RegisterClusterResponse*) override;
  grpc::ServerUnaryReactor* GetConnection(grpc::CallbackServerContext*, const agent::GetConnectionRequest*,
                                          agent::GetConnectionResponse*) override;
  grpc::ServerUnaryReactor* PlanUp(grpc::CallbackServerContext*, const agent::PlanUpRequest*,
                                   agent::PlanUpResponse*) override;
  grpc::ServerUnaryReactor* PlanClean(grpc::CallbackServerContext*, const agent::PlanCleanRequest*,
                                      agent::PlanCleanResponse*) override;

  // single components: agent_service_components.cpp
  grpc::ServerUnaryReactor* SignalComponent(grpc::CallbackServerContext*, const agent::SignalComponentRequest*,
                                            agent::SignalComponentResponse*) override;
  grpc::ServerUnaryReactor* ExplainComponent(grpc::CallbackServerContext*, const agent::ExplainComponentRequest*,
                                             agent::ExplainComponentResponse*) override;

  // operations: agent_service_operations.cpp
  using OperationReactor = grpc::ServerWriteReactor<agent::OperationEvent>;
  OperationReactor* Up(grpc::CallbackServerContext*, const agent::UpRequest*) override;
  OperationReactor* Down(grpc::CallbackServerContext*, const agent::DownRequest*) override;
  OperationReactor* Restart(grpc::CallbackServerContext*, const agent::RestartRequest*) override;
  OperationReactor* StartComponent(grpc::CallbackServerContext*, const agent::ComponentRequest*) override;
  OperationReactor* StopComponent(grpc::CallbackServerContext*, const agent::ComponentRequest*) override;
  OperationReactor* RestartComponent(grpc::CallbackServerContext*, const agent::ComponentRequest*) override;
  OperationReactor* InjectFault(grpc::CallbackServerContext*, const provisioner::InjectFaultRequest*) override;
  OperationReactor* JoinOperation(grpc::CallbackServerContext*, const agent::JoinOperationRequest*) override;
  grpc::ServerUnaryReactor* ListOperations(grpc::CallbackServerContext*, const agent::ListOperationsRequest*,
                                           agent::ListOperationsResponse*) override;
  grpc::ServerUnaryReactor* CancelOperation(grpc::CallbackServerContext*, const agent::CancelOperationRequest*,
                                            agent::CancelOperationResponse*) override;

  // streams: agent_service_streams.cpp
  /// Ends all of them, as the agent does: with the reason AGENT_STOPPED, or AGENT_RESTARTS where another one comes.
  void EndStreams(bool restarts);
  grpc::ServerWriteReactor<agent::WatchStateResponse>* WatchState(grpc::CallbackServerContext*,
                                                                  const agent::WatchStateRequest*) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* TailLogs(grpc::CallbackServerContext*, const grpc::ByteBuffer*) override;
  grpc::ServerWriteReactor<agent::WatchEventsResponse>* WatchEvents(grpc::CallbackServerContext*,
                                                                    const agent::WatchEventsRequest*) override;

 private:
  OperationReactor* Run(const provisioner::ClusterSelector& cluster, std::string kind, std::string subject,
                        const provisioner::OperationOptions& options, operations::Registry::Body body);
  agent::ClusterSummary Summary(const provisioners::Provisioner::ClusterInfo& info, absl::Time deadline);
  std::shared_ptr<events::StateFeed> FeedOf(const std::string& key, const provisioner::ClusterSelector& cluster);

  Domain domain_;
  const agent::GetInfoResponse info_;
  template <typename Response>
  std::shared_ptr<PullStream<Response>> Known(std::shared_ptr<PullStream<Response>> stream);

  std::atomic<int> tails_ = 0;  ///< readers of logs
  std::atomic<bool> restarts_ = false;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<events::StateFeed>> state_feeds_;  ///< by the cluster's directory
  /// Each ends a stream; false: it is over.
  std::vector<std::function<bool(const absl::Status&)>> streams_;
};

/// Answers a unary call from the worker pool with what `act` (a function to absl::Status) gives.
template <typename Act>
grpc::ServerUnaryReactor* Answer(WorkerPool& workers, grpc::CallbackServerContext* context, Act act) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  workers.Run([reactor, act = std::move(act)] { reactor->Finish(ToGrpc(act())); });
  return reactor;
}

/// The call's deadline, at most `most` away.
absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Duration most);

/// Writes an operation's news after a sequence number until its end; `convert` makes messages of them.
template <typename Response, typename Convert>
void Follow(const std::shared_ptr<PullStream<Response>>& stream, std::shared_ptr<operations::Operation> operation,
            std::int64_t after, Convert convert) {
  std::shared_ptr<void> subscription = operation->feed().Subscribe(stream->Waker());
  stream->Attach(
      [operation, after, convert](Response* response, absl::Status*) mutable {
        auto batch = operation->feed().ReadAfter(after, 1);
        if (batch.items.empty()) {
          return batch.end ? Pull::kEnd : Pull::kNothingYet;
        }
        after = batch.items[0].first;
        convert(batch.items[0].second, response);
        return Pull::kItem;
      },
      std::move(subscription));
}

}  // namespace mg::rpc
