#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/manager_service.h"
#include "components/multipooler/manager/rpc_error.h"
#include "components/multipooler/manager/service_calls.h"
#include "consensusservice.grpc.pb.h"

namespace mg::multipooler {
namespace {

class ConsensusService final : public consensus::MultipoolerConsensus::Service {
 public:
  explicit ConsensusService(Manager* manager) : manager_(manager) {}

  grpc::Status Recruit(grpc::ServerContext* context, const consensusdata::RecruitRequest* request,
                       consensusdata::RecruitResponse* response) override {
    return Answer(manager_->Recruit(*request, Deadline(context)), response->mutable_consensus_status(), ToRpcError);
  }

  grpc::Status Promote(grpc::ServerContext* context, const consensusdata::PromoteRequest* request,
                       consensusdata::PromoteResponse* response) override {
    return Answer(manager_->Promote(*request, Deadline(context)), response->mutable_consensus_status(), ToRpcError);
  }

  grpc::Status SetPrimary(grpc::ServerContext* context, const consensusdata::SetPrimaryRequest* request,
                          consensusdata::SetPrimaryResponse* response) override {
    return Answer(manager_->SetPrimary(*request, Deadline(context)), response->mutable_consensus_status(), ToRpcError);
  }

  grpc::Status UpdateConsensusRule(grpc::ServerContext* context,
                                   const multipoolermanagerdata::UpdateConsensusRuleRequest* request,
                                   multipoolermanagerdata::UpdateConsensusRuleResponse* response) override {
    return Answer(manager_->UpdateConsensusRule(*request, Deadline(context)), response->mutable_current_position(),
                  ToRpcError);
  }

 private:
  absl::Time Deadline(grpc::ServerContext* context) const {
    return Within(context, 2 * manager_->config().rule_write_limit);
  }

  Manager* manager_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeConsensusService(Manager* manager) {
  return std::make_unique<ConsensusService>(manager);
}

}  // namespace mg::multipooler
