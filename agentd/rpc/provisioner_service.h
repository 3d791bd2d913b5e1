/// ProvisionerService's handlers: the Provisioner contract of this agent for others, with the same operations registry
/// as AgentService, so that both exclude each other. Private to agentd/rpc.
#pragma once

#include <string>
#include <utility>

#include "agentd/rpc/agent_service.h"
#include "multigres/provisioner/v1/provisioner.grpc.pb.h"

namespace mg::rpc {

class ProvisionerServiceImpl final : public provisioner::ProvisionerService::CallbackService {
 public:
  explicit ProvisionerServiceImpl(Domain domain) : domain_(std::move(domain)) {}

  grpc::ServerUnaryReactor* GetProvisionerInfo(grpc::CallbackServerContext*,
                                               const provisioner::GetProvisionerInfoRequest*,
                                               provisioner::GetProvisionerInfoResponse*) override;
  grpc::ServerUnaryReactor* ValidateCluster(grpc::CallbackServerContext*, const provisioner::ValidateClusterRequest*,
                                            provisioner::ValidateClusterResponse*) override;
  grpc::ServerUnaryReactor* PlanCluster(grpc::CallbackServerContext*, const provisioner::PlanClusterRequest*,
                                        provisioner::PlanClusterResponse*) override;
  grpc::ServerUnaryReactor* GetClusterStatus(grpc::CallbackServerContext*, const provisioner::GetClusterStatusRequest*,
                                             provisioner::GetClusterStatusResponse*) override;
  grpc::ServerUnaryReactor* ListDatabaseData(grpc::CallbackServerContext*, const provisioner::ListDatabaseDataRequest*,
                                             provisioner::ListDatabaseDataResponse*) override;
  grpc::ServerUnaryReactor* ListClusterData(grpc::CallbackServerContext*, const provisioner::ListClusterDataRequest*,
                                            provisioner::ListClusterDataResponse*) override;

  using ProgressReactor = grpc::ServerWriteReactor<provisioner::ProvisionProgress>;
  ProgressReactor* BootstrapCluster(grpc::CallbackServerContext*, const provisioner::BootstrapClusterRequest*) override;
  ProgressReactor* ProvisionDatabase(grpc::CallbackServerContext*,
                                     const provisioner::ProvisionDatabaseRequest*) override;
  ProgressReactor* DeprovisionDatabase(grpc::CallbackServerContext*,
                                       const provisioner::DeprovisionDatabaseRequest*) override;
  ProgressReactor* ProvisionComponent(grpc::CallbackServerContext*,
                                      const provisioner::ProvisionComponentRequest*) override;
  ProgressReactor* DeprovisionComponent(grpc::CallbackServerContext*,
                                        const provisioner::DeprovisionComponentRequest*) override;
  ProgressReactor* TeardownCluster(grpc::CallbackServerContext*, const provisioner::TeardownClusterRequest*) override;
  ProgressReactor* InjectFault(grpc::CallbackServerContext*, const provisioner::InjectFaultRequest*) override;

 private:
  /// Runs a long call of the contract as an operation.
  template <typename Request, typename Act>
  ProgressReactor* Run(const Request& request, std::string kind, std::string subject, Act act);

  Domain domain_;
};

}  // namespace mg::rpc
