#include "common/consensus/position.h"

#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace mg::consensus {
namespace {

template <typename T>
int Order(T a, T b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

std::uint64_t LsnOrZero(const std::string& text) {
  absl::StatusOr<std::uint64_t> lsn = ParseLsn(text);
  return lsn.ok() ? *lsn : 0;
}

}  // namespace

clustermetadata::RuleNumber MakeRuleNumber(std::int64_t term, std::int64_t subterm) {
  clustermetadata::RuleNumber number;
  number.set_coordinator_term(term);
  number.set_leader_subterm(subterm);
  return number;
}

int Compare(const clustermetadata::RuleNumber& a, const clustermetadata::RuleNumber& b) {
  int by_term = Order(a.coordinator_term(), b.coordinator_term());
  return by_term != 0 ? by_term : Order(a.leader_subterm(), b.leader_subterm());
}

std::string ToString(const clustermetadata::RuleNumber& number) {
  return absl::StrCat("{", number.coordinator_term(), ",", number.leader_subterm(), "}");
}

absl::StatusOr<std::uint64_t> ParseLsn(absl::string_view text) {
  std::size_t slash = text.find('/');
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  if (slash == absl::string_view::npos || !absl::SimpleHexAtoi(text.substr(0, slash), &high) ||
      !absl::SimpleHexAtoi(text.substr(slash + 1), &low)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no log position"));
  }
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

std::string FormatLsn(std::uint64_t lsn) {
  char text[32];
  std::snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(lsn >> 32), static_cast<unsigned>(lsn));
  return text;
}

const clustermetadata::RuleNumber& DecisionNumber(const clustermetadata::RulePosition& position) {
  return position.decision().rule_number();
}

const clustermetadata::RuleNumber& DecisionNumber(const clustermetadata::PoolerPosition& position) {
  return DecisionNumber(position.position());
}

const clustermetadata::RuleNumber& ProposalNumber(const clustermetadata::RulePosition& position) {
  return position.proposal().rule_number();
}

const clustermetadata::RuleNumber& HighestNumber(const clustermetadata::RulePosition& position) {
  return Compare(ProposalNumber(position), DecisionNumber(position)) > 0 ? ProposalNumber(position)
                                                                         : DecisionNumber(position);
}

int Compare(const clustermetadata::RulePosition& a, const clustermetadata::RulePosition& b) {
  int by_decision = Compare(DecisionNumber(a), DecisionNumber(b));
  return by_decision != 0 ? by_decision : Compare(ProposalNumber(a), ProposalNumber(b));
}

int Compare(const clustermetadata::PoolerPosition& a, const clustermetadata::PoolerPosition& b) {
  int by_rule = Compare(a.position(), b.position());
  return by_rule != 0 ? by_rule : Order(LsnOrZero(a.lsn()), LsnOrZero(b.lsn()));
}

bool SameNode(const clustermetadata::ID& a, const clustermetadata::ID& b) {
  return a.cell() == b.cell() && a.name() == b.name();
}

}  // namespace mg::consensus
