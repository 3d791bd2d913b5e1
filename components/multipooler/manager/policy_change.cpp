// Another durability policy, by the leader itself and without an interruption.
#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/manager_service.h"
#include "components/multipooler/manager/service_calls.h"
#include "multigres/pooler/v1/rule.grpc.pb.h"

namespace mg::multipooler {
namespace {

namespace v1 = multigres::pooler::v1;

constexpr absl::Duration kLimit = absl::Seconds(30);

class RuleService final : public v1::PoolerRuleService::Service {
 public:
  explicit RuleService(Manager* manager) : manager_(manager) {}

  grpc::Status ChangePolicy(grpc::ServerContext* context, const v1::ChangePolicyRequest* request,
                            v1::ChangePolicyResponse* response) override {
    return Answer(manager_->ChangePolicy(*request, Within(context, kLimit)), response, rpc::ToGrpc);
  }

 private:
  Manager* manager_;
};

}  // namespace

absl::StatusOr<v1::ChangePolicyResponse> Manager::ChangePolicy(const v1::ChangePolicyRequest& request,
                                                               absl::Time deadline) {
  MG_RETURN_IF_ERROR(consensus::ValidatePolicy(request.durability_policy()));
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  MG_RETURN_IF_ERROR(WithContext(CheckOwnRule(view), "change policy"));
  const clustermetadata::ShardRule& from = view.rule.decision();
  if (consensus::Compare(from.rule_number(), request.expected_rule()) != 0) {
    return absl::AbortedError(absl::StrCat("the rule in force is ", consensus::ToString(from.rule_number()),
                                           " and not ", consensus::ToString(request.expected_rule())));
  }
  clustermetadata::ShardRule to = from;
  *to.mutable_durability_policy() = request.durability_policy();
  *to.mutable_coordinator_id() = request.coordinator_id();
  MG_RETURN_IF_ERROR(WithContext(consensus::CheckTransition(from, to), "change policy"));
  // Else the first write of the new rule would wait for standbys that are not there, and all others behind it.
  if (!consensus::Satisfies(request.durability_policy(), PresentMembers(view, config_.id))) {
    return absl::FailedPreconditionError(absl::StrCat("the standbys that stream do not satisfy durability policy ",
                                                      request.durability_policy().policy_name()));
  }
  MG_RETURN_IF_ERROR(WithContext(
      WriteOwnRuleLocked(
          *connection, view, to,
          {.type = "replication_config", .operation = "POLICY", .reason = request.reason(), .accepted_members = {}},
          deadline),
      "change policy"));
  v1::ChangePolicyResponse response;
  *response.mutable_rule() = Snapshot().replication_primary.position().decision();
  return response;
}

std::unique_ptr<grpc::Service> MakeRuleService(Manager* manager) { return std::make_unique<RuleService>(manager); }

}  // namespace mg::multipooler
