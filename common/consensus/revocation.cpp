#include "common/consensus/revocation.h"

#include "absl/strings/str_cat.h"
#include "common/consensus/position.h"
#include "common/status/status.h"

namespace mg::consensus {

bool SameRevocation(const clustermetadata::TermRevocation& a, const clustermetadata::TermRevocation& b) {
  return a.revoked_below_term() == b.revoked_below_term() &&
         SameNode(a.accepted_coordinator_id(), b.accepted_coordinator_id()) &&
         a.coordinator_initiated_at().seconds() == b.coordinator_initiated_at().seconds() &&
         a.coordinator_initiated_at().nanos() == b.coordinator_initiated_at().nanos();
}

bool IsRevoked(const clustermetadata::RuleNumber& rule, const clustermetadata::ConsensusPromises& promises) {
  return rule.coordinator_term() < promises.term_revocation().revoked_below_term();
}

absl::Status CheckRevocation(const clustermetadata::TermRevocation& asked,
                             const clustermetadata::PoolerPosition& position,
                             const clustermetadata::ConsensusPromises& stored) {
  const auto& coordinator = asked.accepted_coordinator_id();
  if (coordinator.name().empty() || !asked.has_coordinator_initiated_at()) {
    return absl::InvalidArgumentError("the term revocation has no coordinator, or no time");
  }
  if (IsNone(asked.outgoing_rule())) {
    return absl::InvalidArgumentError("the term revocation has no outgoing rule");
  }
  std::int64_t term = asked.revoked_below_term();
  if (asked.outgoing_rule().coordinator_term() >= term) {
    return absl::FailedPreconditionError(
        absl::StrCat("the outgoing rule ", ToString(asked.outgoing_rule()), " is not below the new term ", term));
  }
  MG_RETURN_IF_ERROR(WithContext(ParseLsn(position.lsn()).status(), "the node's own position is unknown"));
  const auto& decision = DecisionNumber(position);
  if (decision.coordinator_term() >= term) {
    return absl::FailedPreconditionError(
        absl::StrCat("rule ", ToString(decision), " has already been decided; term ", term, " comes too late"));
  }
  int order = Compare(decision, asked.outgoing_rule());
  if (order > 0) {
    return absl::FailedPreconditionError(absl::StrCat("this node knows rule ", ToString(decision),
                                                      ", which is newer than the outgoing rule ",
                                                      ToString(asked.outgoing_rule())));
  }
  if (order == 0 && ProposalNumber(position.position()).coordinator_term() >= term) {
    return absl::FailedPreconditionError(absl::StrCat("proposal ", ToString(ProposalNumber(position.position())),
                                                      " has already been written; term ", term, " comes too late"));
  }
  if (stored.has_recruit_blocked_until()) {
    const auto& until = stored.recruit_blocked_until();
    clustermetadata::PoolerPosition floor;
    *floor.mutable_position()->mutable_decision()->mutable_rule_number() = until.position().decision();
    *floor.mutable_position()->mutable_proposal()->mutable_rule_number() = until.position().proposal();
    floor.set_lsn(until.lsn());
    if (Compare(position, floor) < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("after a rewind this node must not be recruited before it is past ", until.lsn()));
    }
  }
  const auto& promised = stored.term_revocation();
  if (promised.revoked_below_term() > term) {
    return absl::FailedPreconditionError(
        absl::StrCat("a higher term, ", promised.revoked_below_term(), ", has been promised"));
  }
  if (promised.revoked_below_term() == term && !SameRevocation(promised, asked)) {
    return absl::FailedPreconditionError(absl::StrCat("term ", term, " has been promised to another coordinator, ",
                                                      promised.accepted_coordinator_id().cell(), "_",
                                                      promised.accepted_coordinator_id().name()));
  }
  return absl::OkStatus();
}

}  // namespace mg::consensus
