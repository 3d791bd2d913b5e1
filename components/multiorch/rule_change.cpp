// A rule that somebody has asked for: by the leader itself where only the cohort changes, else by a new appointment.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multiorch/coordinator.h"
#include "components/multiorch/shard_engine.h"

namespace mg::multiorch {
namespace {

using clustermetadata::ID;

const PoolerView* Find(const ShardView& view, const ID& id) {
  auto found = std::find_if(view.poolers.begin(), view.poolers.end(),
                            [&](const auto& entry) { return consensus::SameNode(entry.second.id(), id); });
  return found == view.poolers.end() ? nullptr : &found->second;
}

absl::Status CheckWish(const ShardView& view, const RuleWish& wish) {
  MG_RETURN_IF_ERROR(consensus::ValidatePolicy(wish.policy));
  if (!consensus::Contains(wish.cohort, wish.leader)) {
    return absl::InvalidArgumentError("the wished leader is not in the wished cohort");
  }
  for (std::size_t i = 0; i < wish.cohort.size(); ++i) {
    const PoolerView* pooler = Find(view, wish.cohort[i]);
    std::string name = absl::StrCat(wish.cohort[i].cell(), "_", wish.cohort[i].name());
    if (pooler == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat("pooler ", name, " has gone, or is not one of this shard"));
    }
    consensus::Cohort before(wish.cohort.begin(), wish.cohort.begin() + static_cast<std::ptrdiff_t>(i));
    if (consensus::Contains(before, wish.cohort[i])) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is twice in the wished cohort"));
    }
  }
  // Says what is missing when the cohort cannot satisfy the policy.
  return consensus::StandbyNames(wish.policy, wish.cohort, wish.leader).status();
}

}  // namespace

absl::StatusOr<Action> PlanRuleChange(const ShardView& view, RuleWish wish, const std::string& reason) {
  const clustermetadata::ShardRule* highest = HighestRule(view);
  if (highest == nullptr || highest->rule_number().coordinator_term() == 0) {
    return absl::FailedPreconditionError("the shard has had no leader yet; the first one is appointed by itself");
  }
  if (wish.leader.name().empty()) {
    wish.leader = highest->leader_id();
  }
  if (wish.cohort.empty()) {
    wish.cohort = consensus::CohortOf(*highest);
  }
  if (wish.policy.policy_name().empty()) {
    wish.policy = highest->durability_policy();
  }
  MG_RETURN_IF_ERROR(CheckWish(view, wish));
  Action action;
  action.kind = ActionKind::kAppoint;
  action.why = reason.empty() ? "a change of the rule was asked for" : reason;
  action.outgoing = *highest;
  consensus::Cohort all = wish.cohort;
  for (const ID& member : highest->cohort_members()) {
    if (!consensus::Contains(all, member)) {
      all.push_back(member);
    }
  }
  for (const ID& id : all) {
    const PoolerView* pooler = Find(view, id);
    if (pooler != nullptr && pooler->connected) {
      action.recruits.push_back(pooler->id());
    }
  }
  for (ID& id : wish.cohort) {
    id = Find(view, id)->id();  // with the component that callers may leave out
  }
  wish.leader = Find(view, wish.leader)->id();
  if (!consensus::Contains(action.recruits, wish.leader)) {
    return absl::FailedPreconditionError("the wished leader is out of this orch's reach");
  }
  if (!wish.certificate.has_value()) {
    MG_RETURN_IF_ERROR(consensus::CheckRecruitmentQuorum(*highest, action.recruits));
  }
  action.wish = std::move(wish);
  return action;
}

bool UpdateByLeader(const ShardView& view, const Action& action, absl::Time now) {
  const RuleWish& wish = *action.wish;
  const clustermetadata::ShardRule& from = action.outgoing;
  const PoolerView* leader = Find(view, from.leader_id());
  if (wish.certificate.has_value() || !consensus::SameNode(wish.leader, from.leader_id()) || leader == nullptr ||
      leader->position().position().has_proposal() || !LeaderIsAlive(view, from, now)) {
    return false;
  }
  clustermetadata::ShardRule to = from;
  *to.mutable_durability_policy() = wish.policy;
  to.clear_cohort_members();
  for (const ID& id : wish.cohort) {
    *to.add_cohort_members() = id;
  }
  return consensus::CheckTransition(from, to).ok();
}

absl::StatusOr<clustermetadata::ShardRule> ShardEngine::ChangeRule(RuleWish wish,
                                                                   const clustermetadata::RuleNumber& expected,
                                                                   const std::string& reason, absl::Time deadline,
                                                                   const std::function<bool()>& cancelled) {
  std::unique_lock acting(acting_);
  ShardView view = View();
  MG_ASSIGN_OR_RETURN(Action action, PlanRuleChange(view, std::move(wish), reason));
  if (!consensus::IsNone(expected) && consensus::Compare(action.outgoing.rule_number(), expected) != 0) {
    return absl::AbortedError(absl::StrCat("the rule in force is ", consensus::ToString(action.outgoing.rule_number()),
                                           " and not ", consensus::ToString(expected)));
  }
  if (!UpdateByLeader(view, action, absl::Now())) {
    absl::StatusOr<clustermetadata::ShardRule> rule =
        RunAppointment(view, action, [&] { return stop_.load() || cancelled() || absl::Now() >= deadline; });
    acting.unlock();
    Wake();
    return rule;
  }
  MG_ASSIGN_OR_RETURN(std::string address,
                      topology::AddressOf(Find(view, action.outgoing.leader_id())->record, "grpc"));
  PoolerClient client(address, options_.dialer);
  if (action.wish->policy.policy_name() != action.outgoing.durability_policy().policy_name()) {
    log::Info("the leader is asked to change the policy",
              {{"why", action.why}, {"policy", action.wish->policy.policy_name()}});
    absl::StatusOr<clustermetadata::ShardRule> rule = client.ChangePolicy(
        action.outgoing.rule_number(), action.wish->policy, options_.self, action.why, deadline - absl::Now());
    if (absl::IsUnimplemented(rule.status())) {
      rule = RunAppointment(view, action, [&] { return stop_.load() || cancelled() || absl::Now() >= deadline; });
    }
    acting.unlock();
    Wake();
    return rule;
  }
  consensus::Cohort before = consensus::CohortOf(action.outgoing);
  bool adds = action.wish->cohort.size() > before.size();
  multipoolermanagerdata::UpdateConsensusRuleRequest request;
  request.set_operation(adds ? multipoolermanagerdata::RULE_OPERATION_COHORT_ADD
                             : multipoolermanagerdata::RULE_OPERATION_COHORT_REMOVE);
  for (const ID& id : adds ? action.wish->cohort : before) {
    if (!consensus::Contains(adds ? before : action.wish->cohort, id)) {
      *request.add_standby_ids() = id;
    }
  }
  if (request.standby_ids().empty()) {
    return action.outgoing;  // it is so already
  }
  *request.mutable_expected_outgoing_rule() = action.outgoing.rule_number();
  *request.mutable_coordinator_id() = options_.self;
  log::Info("the leader is asked to change the cohort", {{"why", action.why}, {"members", action.wish->cohort.size()}});
  MG_RETURN_IF_ERROR(client.UpdateConsensusRule(request, deadline - absl::Now()));
  clustermetadata::ShardRule rule = action.outgoing;
  rule.mutable_rule_number()->set_leader_subterm(rule.rule_number().leader_subterm() + 1);
  rule.clear_cohort_members();
  for (const ID& id : action.wish->cohort) {
    *rule.add_cohort_members() = id;
  }
  return rule;
}

}  // namespace mg::multiorch
