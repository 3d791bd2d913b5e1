/// Rule numbers, log positions and their order, as poolers and orchs compare them. Facts: manager-rpcs section 10. Pure
/// functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clustermetadata.pb.h"

namespace mg::consensus {

/// {coordinator_term, leader_subterm} of "no rule".
inline bool IsNone(const clustermetadata::RuleNumber& number) {
  return number.coordinator_term() == 0 && number.leader_subterm() == 0;
}
clustermetadata::RuleNumber MakeRuleNumber(std::int64_t term, std::int64_t subterm);
/// Negative, zero or positive: by term, then subterm.
int Compare(const clustermetadata::RuleNumber& a, const clustermetadata::RuleNumber& b);
/// {3,0}
std::string ToString(const clustermetadata::RuleNumber& number);

/// PostgreSQL's text form X/XXXXXXXX. INVALID_ARGUMENT.
absl::StatusOr<std::uint64_t> ParseLsn(absl::string_view text);
std::string FormatLsn(std::uint64_t lsn);

const clustermetadata::RuleNumber& DecisionNumber(const clustermetadata::RulePosition& position);
const clustermetadata::RuleNumber& DecisionNumber(const clustermetadata::PoolerPosition& position);
/// {0,0} when there is no undecided proposal.
const clustermetadata::RuleNumber& ProposalNumber(const clustermetadata::RulePosition& position);
/// The higher of decision and proposal.
const clustermetadata::RuleNumber& HighestNumber(const clustermetadata::RulePosition& position);

/// How far a node's log is: by decision, then proposal, then LSN (unparsable counts as 0).
int Compare(const clustermetadata::PoolerPosition& a, const clustermetadata::PoolerPosition& b);
/// By rule numbers only.
int Compare(const clustermetadata::RulePosition& a, const clustermetadata::RulePosition& b);

/// Same cell and name; the component kind is not compared.
bool SameNode(const clustermetadata::ID& a, const clustermetadata::ID& b);

}  // namespace mg::consensus
