#include "components/multiorch/pooler_client.h"

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <set>

#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "consensusservice.grpc.pb.h"
#include "multigres/pooler/v1/rule.grpc.pb.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multiorch {

struct PoolerClient::Impl {
  std::unique_ptr<consensus::MultipoolerConsensus::Stub> stub;
  std::unique_ptr<multipoolermanager::MultipoolerManager::Stub> manager;
  std::unique_ptr<multigres::pooler::v1::PoolerRuleService::Stub> rules;
  std::mutex mutex;
  bool cancelled = false;
  std::set<grpc::ClientContext*> calls;

  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response* response, absl::Duration limit) {
    return CallOn(stub.get(), method, request, response, limit);
  }

  template <typename Stub, typename Method, typename Request, typename Response>
  absl::Status CallOn(Stub* on, Method method, const Request& request, Response* response, absl::Duration limit) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Now() + limit);
    {
      std::lock_guard lock(mutex);
      if (cancelled) {
        return absl::CancelledError("this orch is stopping");
      }
      calls.insert(&context);
    }
    grpc::Status status = (on->*method)(&context, request, response);
    std::lock_guard lock(mutex);
    calls.erase(&context);
    return rpc::FromGrpc(status);
  }
};

PoolerClient::PoolerClient(const std::string& address, const rpc::Dialer& dialer) : impl_(std::make_unique<Impl>()) {
  std::shared_ptr<grpc::Channel> channel = dialer.Dial(address);
  impl_->stub = consensus::MultipoolerConsensus::NewStub(channel);
  impl_->manager = multipoolermanager::MultipoolerManager::NewStub(channel);
  impl_->rules = multigres::pooler::v1::PoolerRuleService::NewStub(channel);
}

PoolerClient::~PoolerClient() = default;

absl::StatusOr<clustermetadata::ConsensusStatus> PoolerClient::Recruit(const consensusdata::RecruitRequest& request,
                                                                       absl::Duration limit) {
  consensusdata::RecruitResponse response;
  MG_RETURN_IF_ERROR(impl_->Call(&consensus::MultipoolerConsensus::Stub::Recruit, request, &response, limit));
  return response.consensus_status();
}

absl::StatusOr<clustermetadata::ConsensusStatus> PoolerClient::Promote(const consensusdata::PromoteRequest& request,
                                                                       absl::Duration limit) {
  consensusdata::PromoteResponse response;
  MG_RETURN_IF_ERROR(impl_->Call(&consensus::MultipoolerConsensus::Stub::Promote, request, &response, limit));
  return response.consensus_status();
}

absl::StatusOr<clustermetadata::ConsensusStatus> PoolerClient::SetPrimary(
    const consensusdata::SetPrimaryRequest& request, absl::Duration limit) {
  consensusdata::SetPrimaryResponse response;
  MG_RETURN_IF_ERROR(impl_->Call(&consensus::MultipoolerConsensus::Stub::SetPrimary, request, &response, limit));
  return response.consensus_status();
}

absl::Status PoolerClient::UpdateConsensusRule(const multipoolermanagerdata::UpdateConsensusRuleRequest& request,
                                               absl::Duration limit) {
  multipoolermanagerdata::UpdateConsensusRuleResponse response;
  return impl_->Call(&consensus::MultipoolerConsensus::Stub::UpdateConsensusRule, request, &response, limit);
}

absl::StatusOr<clustermetadata::ShardRule> PoolerClient::ChangePolicy(const clustermetadata::RuleNumber& expected,
                                                                      const clustermetadata::DurabilityPolicy& policy,
                                                                      const clustermetadata::ID& coordinator,
                                                                      const std::string& reason, absl::Duration limit) {
  multigres::pooler::v1::ChangePolicyRequest request;
  *request.mutable_expected_rule() = expected;
  *request.mutable_durability_policy() = policy;
  *request.mutable_coordinator_id() = coordinator;
  request.set_reason(reason);
  multigres::pooler::v1::ChangePolicyResponse response;
  MG_RETURN_IF_ERROR(impl_->CallOn(impl_->rules.get(), &multigres::pooler::v1::PoolerRuleService::Stub::ChangePolicy,
                                   request, &response, limit));
  return response.rule();
}

absl::Status PoolerClient::ResignLeadership(absl::Duration limit) {
  multipoolermanagerdata::ResignLeadershipResponse response;
  return impl_->CallOn(impl_->manager.get(), &multipoolermanager::MultipoolerManager::Stub::ResignLeadership,
                       multipoolermanagerdata::ResignLeadershipRequest(), &response, limit);
}

void PoolerClient::Cancel() {
  std::lock_guard lock(impl_->mutex);
  impl_->cancelled = true;
  for (grpc::ClientContext* context : impl_->calls) {
    context->TryCancel();
  }
}

}  // namespace mg::multiorch
