// A rule that a person asks for: checked and completed here, carried out by a multiorch of the shard.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/label.h"
#include "multigres/orch/v1/orch.grpc.pb.h"
#include "multiorchservice.grpc.pb.h"

namespace mg::multiadmin {
namespace {

using clustermetadata::ID;
using clustermetadata::Multipooler;
namespace v1 = multigres::admin::v1;

constexpr absl::Duration kProbeLimit = absl::Seconds(15);

const Multipooler* Find(const std::vector<Multipooler>& poolers, const ID& id) {
  auto found = std::find_if(poolers.begin(), poolers.end(),
                            [&](const Multipooler& pooler) { return consensus::SameNode(pooler.id(), id); });
  return found == poolers.end() ? nullptr : &*found;
}

// What the members say of themselves; those that do not answer are left out.
std::vector<clustermetadata::ConsensusStatus> Probe(Admin* admin, const consensus::Cohort& cohort,
                                                    absl::Time deadline) {
  std::vector<absl::StatusOr<pb::GetPoolerStatusResponse>> answers(cohort.size(), absl::UnknownError("not asked"));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    threads.emplace_back([&, i] {
      pb::GetPoolerStatusRequest question;
      *question.mutable_pooler_id() = cohort[i];
      answers[i] = admin->GetPoolerStatus(question, std::min(deadline, absl::Now() + kProbeLimit));
    });
  }
  std::vector<clustermetadata::ConsensusStatus> statuses;
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    threads[i].join();
    if (answers[i].ok() && answers[i]->consensus_status().current_position().position().has_decision()) {
      statuses.push_back(answers[i]->consensus_status());
      *statuses.back().mutable_id() = cohort[i];
    } else if (!answers[i].ok()) {
      log::Warn("a member does not say where it is", {{"pooler", Label(cohort[i])}, {"error", answers[i].status()}});
    }
  }
  return statuses;
}

const clustermetadata::ShardRule& RuleOf(const clustermetadata::PoolerPosition& position) {
  return position.position().has_proposal() ? position.position().proposal() : position.position().decision();
}

// Before the leader is asked for anything.
absl::Status CheckExpected(const std::vector<clustermetadata::ConsensusStatus>& leader,
                           const clustermetadata::RuleNumber& expected) {
  if (consensus::IsNone(expected)) {
    return absl::OkStatus();
  }
  if (leader.empty()) {
    return absl::UnavailableError("the leader does not say which rule is in force");
  }
  const clustermetadata::RuleNumber& now = consensus::HighestNumber(leader.front().current_position().position());
  return consensus::Compare(now, expected) == 0
             ? absl::OkStatus()
             : absl::AbortedError(absl::StrCat("the rule in force is ", consensus::ToString(now), " and not ",
                                               consensus::ToString(expected)));
}

// What the orch would refuse, before anybody hands over to the wished leader. `now` is the rule in force, nullptr:
// nobody said it.
absl::Status CheckWish(const multigres::orch::v1::ChangeRuleRequest& wish, const clustermetadata::ShardRule* now) {
  consensus::Cohort cohort(wish.cohort_members().begin(), wish.cohort_members().end());
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    if (consensus::Contains(consensus::Cohort(cohort.begin(), cohort.begin() + static_cast<std::ptrdiff_t>(i)),
                            cohort[i])) {
      return absl::InvalidArgumentError(absl::StrCat(Label(cohort[i]), " is twice in the wished cohort"));
    }
  }
  if (!cohort.empty() && !consensus::Contains(cohort, wish.leader_id())) {
    return absl::InvalidArgumentError("the wished leader is not in the wished cohort");
  }
  const bool whole = !cohort.empty() && wish.has_durability_policy();
  const bool leader_only = cohort.empty() && !wish.has_durability_policy();
  if (leader_only || (!whole && now == nullptr)) {
    return absl::OkStatus();
  }
  if (cohort.empty()) {
    cohort = consensus::CohortOf(*now);
  }
  // Says what is missing when the cohort cannot satisfy the policy.
  return consensus::StandbyNames(wish.has_durability_policy() ? wish.durability_policy() : now->durability_policy(),
                                 cohort, wish.leader_id())
      .status();
}

absl::Status Complete(const clustermetadata::ShardRule& outgoing, const ID& orch,
                      clustermetadata::ExternallyCertifiedRevocation* cert, clustermetadata::ShardRule* proposal) {
  clustermetadata::TermRevocation* revocation = cert->mutable_term_revocation();
  if (!revocation->accepted_coordinator_id().name().empty() &&
      !consensus::SameNode(revocation->accepted_coordinator_id(), orch)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate names another coordinator than the orch that is there, ", Label(orch)));
  }
  *revocation->mutable_accepted_coordinator_id() = orch;
  *revocation->mutable_outgoing_rule() = outgoing.rule_number();
  std::int64_t micros = absl::ToUnixMicros(absl::Now());
  google::protobuf::Timestamp now;
  now.set_seconds(micros / 1000000);
  now.set_nanos(static_cast<int>(micros % 1000000) * 1000);
  if (!revocation->has_coordinator_initiated_at()) {
    *revocation->mutable_coordinator_initiated_at() = now;
  }
  if (revocation->revoked_below_term() == 0) {
    revocation->set_revoked_below_term(outgoing.rule_number().coordinator_term() + 1);
  }
  if (proposal->rule_number().coordinator_term() == 0) {
    proposal->mutable_rule_number()->set_coordinator_term(revocation->revoked_below_term());
  }
  *proposal->mutable_coordinator_id() = orch;
  if (!proposal->has_creation_time()) {
    *proposal->mutable_creation_time() = now;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<clustermetadata::Multiorch>> Admin::OrchsFor(const ID& leader, absl::Time deadline) {
  CellErrors errors;
  MG_ASSIGN_OR_RETURN(pb::GetOrchsResponse all, GetOrchs(pb::GetOrchsRequest(), deadline, &errors));
  std::vector<clustermetadata::Multiorch> orchs(all.orchs().begin(), all.orchs().end());
  if (orchs.empty()) {
    return absl::FailedPreconditionError("no multiorch is registered");
  }
  std::stable_partition(orchs.begin(), orchs.end(),
                        [&](const clustermetadata::Multiorch& orch) { return orch.id().cell() == leader.cell(); });
  return orchs;
}

absl::StatusOr<pb::ApplyCertifiedRuleChangeResponse> Admin::ApplyCertifiedRuleChange(
    const pb::ApplyCertifiedRuleChangeRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, PoolersOf(request.shard_key(), deadline));
  clustermetadata::ShardRule proposal = request.proposed_transition().proposal();
  consensus::Cohort cohort = consensus::CohortOf(proposal);
  if (!proposal.has_leader_id() || cohort.empty() || !proposal.has_durability_policy()) {
    return absl::InvalidArgumentError("the proposal needs a leader, a cohort and a durability policy");
  }
  MG_RETURN_IF_ERROR(consensus::ValidatePolicy(proposal.durability_policy()));
  for (const ID& member : cohort) {
    if (Find(poolers, member) == nullptr) {
      return absl::NotFoundError(absl::StrCat("cohort member '", Label(member), "' is not in the topology"));
    }
  }
  clustermetadata::ExternallyCertifiedRevocation cert;
  std::vector<clustermetadata::ConsensusStatus> statuses = Probe(this, cohort, deadline);
  clustermetadata::ShardRule outgoing;
  if (request.has_cert()) {
    cert = request.cert();
    if (consensus::IsNone(cert.term_revocation().outgoing_rule()) || cert.frozen_lsn().empty()) {
      return absl::InvalidArgumentError("the certificate needs an outgoing rule and a frozen LSN");
    }
    auto holder = std::find_if(statuses.begin(), statuses.end(), [&](const clustermetadata::ConsensusStatus& status) {
      return consensus::Compare(RuleOf(status.current_position()).rule_number(),
                                cert.term_revocation().outgoing_rule()) == 0;
    });
    if (holder == statuses.end()) {
      return absl::NotFoundError(absl::StrCat("no reachable member of the cohort is at the outgoing rule ",
                                              consensus::ToString(cert.term_revocation().outgoing_rule())));
    }
    outgoing = RuleOf(holder->current_position());
  } else if (request.has_unsafe_derive_cert()) {
    consensus::Cohort reached;
    const clustermetadata::PoolerPosition* best = nullptr;
    for (const clustermetadata::ConsensusStatus& status : statuses) {
      reached.push_back(status.id());
      if (best == nullptr || consensus::Compare(status.current_position(), *best) > 0) {
        best = &status.current_position();
      }
    }
    if (absl::Status enough = consensus::CheckRecruitmentQuorum(proposal, reached); best == nullptr || !enough.ok()) {
      return absl::UnavailableError(
          absl::StrCat("too few members of the wished cohort answer: ", std::string(enough.message())));
    }
    if (best->lsn().empty()) {
      return absl::UnavailableError("the most advanced member does not say its position");
    }
    outgoing = RuleOf(*best);
    cert.set_frozen_lsn(best->lsn());
    std::int64_t term = outgoing.rule_number().coordinator_term();
    for (const clustermetadata::ConsensusStatus& status : statuses) {
      term = std::max(term, status.term_revocation().revoked_below_term());
    }
    cert.mutable_term_revocation()->set_revoked_below_term(term + 1);
  } else {
    return absl::InvalidArgumentError("either cert or unsafe_derive_cert is required");
  }
  MG_ASSIGN_OR_RETURN(std::vector<clustermetadata::Multiorch> orchs, OrchsFor(proposal.leader_id(), deadline));
  MG_RETURN_IF_ERROR(Complete(outgoing, orchs.front().id(), &cert, &proposal));
  absl::StatusOr<std::string> address = topology::AddressOf(orchs.front(), "grpc");
  if (!address.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("multiorch '", Label(orchs.front().id()), "' has no gRPC port"));
  }
  log::Warn("a certified change of the rule", {{"shard", topology::ShardKeyString(request.shard_key())},
                                               {"outgoing", consensus::ToString(outgoing.rule_number())},
                                               {"frozen_lsn", cert.frozen_lsn()},
                                               {"reason", request.reason()}});
  ::multiorch::ApplyCertifiedRuleChangeRequest order;
  *order.mutable_shard_key() = request.shard_key();
  *order.mutable_proposed_transition()->mutable_decision() = outgoing;
  *order.mutable_proposed_transition()->mutable_proposal() = proposal;
  *order.mutable_cert() = cert;
  order.set_reason(request.reason());
  auto stub = ::multiorch::MultiorchService::NewStub(dialer_.Dial(*address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  ::multiorch::ApplyCertifiedRuleChangeResponse done;
  MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->ApplyCertifiedRuleChange(&context, order, &done)));
  pb::ApplyCertifiedRuleChangeResponse response;
  *response.mutable_installed_rule() = proposal;
  *response.mutable_cert_used() = cert;
  return response;
}

absl::StatusOr<v1::ChangeRuleResponse> Admin::ChangeRule(const v1::ChangeRuleRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, PoolersOf(request.shard_key(), deadline));
  multigres::orch::v1::ChangeRuleRequest order;
  *order.mutable_shard_key() = request.shard_key();
  *order.mutable_expected_rule() = request.expected_rule();
  order.set_reason(request.reason());
  if (!request.durability_policy().empty()) {
    MG_ASSIGN_OR_RETURN(*order.mutable_durability_policy(), consensus::PolicyByName(request.durability_policy()));
  }
  for (const ID& member : request.cohort_members()) {
    const Multipooler* pooler = Find(poolers, member);
    if (pooler == nullptr) {
      return absl::NotFoundError(absl::StrCat("pooler '", Label(member), "' is not one of the shard"));
    }
    *order.add_cohort_members() = pooler->id();
  }
  if (request.has_leader_id()) {
    const Multipooler* pooler = Find(poolers, request.leader_id());
    if (pooler == nullptr) {
      return absl::NotFoundError(absl::StrCat("pooler '", Label(request.leader_id()), "' is not one of the shard"));
    }
    *order.mutable_leader_id() = pooler->id();
    MG_RETURN_IF_ERROR(CheckWish(order, nullptr));
    bool leads = pooler->routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY;
    auto another = std::find_if(poolers.begin(), poolers.end(), [](const Multipooler& other) {
      return other.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
             other.serving_status() == clustermetadata::SERVING;
    });
    if (!leads && another != poolers.end()) {
      const std::vector<clustermetadata::ConsensusStatus> leader = Probe(this, {another->id()}, deadline);
      if (request.has_expected_rule()) {
        MG_RETURN_IF_ERROR(CheckExpected(leader, request.expected_rule()));
      }
      MG_RETURN_IF_ERROR(CheckWish(order, leader.empty() ? nullptr : &RuleOf(leader.front().current_position())));
      // Recruited alone it would always lack the old leader's last record; handed over in order, it has everything.
      v1::SwitchPrimaryRequest first;
      *first.mutable_shard_key() = request.shard_key();
      *first.mutable_target() = pooler->id();
      first.set_reason(request.reason());
      MG_RETURN_IF_ERROR(SwitchPrimaryTo(first, deadline).status());
      order.clear_expected_rule();
      if (order.cohort_members().empty() && !order.has_durability_policy()) {
        // Only another leader was wanted.
        std::vector<clustermetadata::ConsensusStatus> now = Probe(this, {pooler->id()}, deadline);
        if (now.empty()) {
          return absl::UnavailableError("the new leader does not answer");
        }
        v1::ChangeRuleResponse response;
        *response.mutable_rule() = now.front().current_position().position().decision();
        return response;
      }
    }
  }
  MG_ASSIGN_OR_RETURN(std::vector<clustermetadata::Multiorch> orchs, OrchsFor(order.leader_id(), deadline));
  absl::Status last = absl::UnavailableError("no multiorch answers");
  for (const clustermetadata::Multiorch& orch : orchs) {
    absl::StatusOr<std::string> address = topology::AddressOf(orch, "grpc");
    if (!address.ok()) {
      continue;
    }
    auto stub = multigres::orch::v1::OrchService::NewStub(dialer_.Dial(*address));
    grpc::ClientContext context;
    rpc::SetDeadline(&context, deadline);
    multigres::orch::v1::ChangeRuleResponse done;
    last = rpc::FromGrpc(stub->ChangeRule(&context, order, &done));
    if (last.ok()) {
      v1::ChangeRuleResponse response;
      *response.mutable_rule() = done.rule();
      return response;
    }
    if (!absl::IsUnavailable(last)) {
      return last;
    }
  }
  return last;
}

}  // namespace mg::multiadmin
