#include "common/consensus/policy.h"

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/consensus/position.h"
#include "common/status/status.h"

namespace mg::consensus {
namespace {

constexpr int kMostRequired = 7;                 // as many as there can be cells
constexpr std::size_t kMaxApplicationName = 63;  // NAMEDATALEN - 1

bool MultiCell(const clustermetadata::DurabilityPolicy& policy) {
  return policy.quorum_type() == clustermetadata::QUORUM_TYPE_MULTI_CELL_AT_LEAST_N;
}

// Whether what satisfies `strict` satisfies `lax` too: n nodes of different cells are n nodes.
bool Covers(const clustermetadata::DurabilityPolicy& strict, const clustermetadata::DurabilityPolicy& lax) {
  return strict.required_count() >= lax.required_count() && (MultiCell(strict) || !MultiCell(lax));
}

bool SamePolicy(const clustermetadata::DurabilityPolicy& a, const clustermetadata::DurabilityPolicy& b) {
  return a.required_count() == b.required_count() && a.quorum_type() == b.quorum_type();
}

bool Within(const Cohort& inner, const Cohort& outer) {
  return std::all_of(inner.begin(), inner.end(), [&](const auto& id) { return Contains(outer, id); });
}

}  // namespace

Cohort CohortOf(const clustermetadata::ShardRule& rule) {
  return Cohort(rule.cohort_members().begin(), rule.cohort_members().end());
}

bool Contains(const Cohort& cohort, const clustermetadata::ID& id) {
  return std::any_of(cohort.begin(), cohort.end(), [&](const auto& member) { return SameNode(member, id); });
}

absl::StatusOr<clustermetadata::DurabilityPolicy> PolicyByName(absl::string_view name) {
  absl::string_view rest = name;
  bool multi_cell = absl::ConsumePrefix(&rest, "MULTI_CELL_");
  int count = 0;
  if (!absl::ConsumePrefix(&rest, "AT_LEAST_") || !absl::SimpleAtoi(rest, &count) || count < 1 ||
      count > kMostRequired) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no durability policy; there are AT_LEAST_2 and ",
                                                   "MULTI_CELL_AT_LEAST_2, and other counts from 1 to ",
                                                   kMostRequired));
  }
  clustermetadata::DurabilityPolicy policy;
  policy.set_policy_name(std::string(name));
  policy.set_policy_version(1);
  policy.set_quorum_type(multi_cell ? clustermetadata::QUORUM_TYPE_MULTI_CELL_AT_LEAST_N
                                    : clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  policy.set_required_count(count);
  policy.set_description(multi_cell ? absl::StrCat("a commit is durable on nodes of ", count, " cells")
                                    : absl::StrCat("a commit is durable on ", count, " nodes"));
  return policy;
}

absl::Status ValidatePolicy(const clustermetadata::DurabilityPolicy& policy) {
  if (policy.quorum_type() != clustermetadata::QUORUM_TYPE_AT_LEAST_N && !MultiCell(policy)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown quorum type of durability policy \"", policy.policy_name(), "\""));
  }
  if (policy.required_count() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("required count of durability policy \"", policy.policy_name(), "\" must be at least 1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StandbyNames(const clustermetadata::DurabilityPolicy& policy, const Cohort& cohort,
                                         const clustermetadata::ID& leader) {
  MG_RETURN_IF_ERROR(ValidatePolicy(policy));
  if (policy.required_count() == 1) {
    return std::string();
  }
  std::string names;
  int standbys = 0;
  std::set<std::string> cells;
  for (const clustermetadata::ID& member : cohort) {
    if (MultiCell(policy) && member.cell() == leader.cell()) {
      continue;  // its acknowledgement would not add a cell
    }
    std::string name = absl::StrCat(member.cell(), "_", member.name());
    if (name.size() > kMaxApplicationName || name.find('"') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" cannot be a standby's name in PostgreSQL"));
    }
    absl::StrAppend(&names, names.empty() ? "\"" : ", \"", name, "\"");
    standbys += SameNode(member, leader) ? 0 : 1;
    cells.insert(member.cell());
  }
  int needed = policy.required_count() - 1;
  if (standbys < needed || (MultiCell(policy) && static_cast<int>(cells.size()) < needed)) {
    return absl::FailedPreconditionError(absl::StrCat("a cohort of ", cohort.size(), " led by ", leader.cell(), "_",
                                                      leader.name(), " cannot satisfy durability policy ",
                                                      policy.policy_name(), " (", policy.required_count(), ")"));
  }
  return absl::StrCat("ANY ", needed, " (", names, ")");
}

bool Satisfies(const clustermetadata::DurabilityPolicy& policy, const Cohort& holders) {
  std::set<std::string> distinct;
  for (const clustermetadata::ID& holder : holders) {
    distinct.insert(MultiCell(policy) ? holder.cell() : absl::StrCat(holder.cell(), "_", holder.name()));
  }
  return static_cast<int>(distinct.size()) >= policy.required_count();
}

absl::Status CheckRecruitmentQuorum(const clustermetadata::ShardRule& outgoing, const Cohort& recruited) {
  Cohort cohort = CohortOf(outgoing);
  if (cohort.empty()) {
    return absl::OkStatus();
  }
  Cohort missing;
  for (const clustermetadata::ID& member : cohort) {
    if (!Contains(recruited, member)) {
      missing.push_back(member);
    }
  }
  std::size_t have = cohort.size() - missing.size();
  if (have <= cohort.size() / 2) {
    return absl::FailedPreconditionError(absl::StrCat("only ", have, " of ", cohort.size(), " cohort members of rule ",
                                                      ToString(outgoing.rule_number()),
                                                      " were recruited; a majority is needed"));
  }
  if (Satisfies(outgoing.durability_policy(), missing)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ", missing.size(), " cohort members of rule ", ToString(outgoing.rule_number()),
                     " that were not recruited could still acknowledge writes by themselves"));
  }
  return absl::OkStatus();
}

absl::Status CheckTransition(const clustermetadata::ShardRule& from, const clustermetadata::ShardRule& to) {
  const auto& old_policy = from.durability_policy();
  const auto& new_policy = to.durability_policy();
  MG_RETURN_IF_ERROR(ValidatePolicy(new_policy));
  if (!Covers(old_policy, new_policy) && !Covers(new_policy, old_policy)) {
    return absl::FailedPreconditionError("neither of the durability policies covers the other");
  }
  Cohort old_cohort = CohortOf(from);
  Cohort new_cohort = CohortOf(to);
  bool shrinks = Within(new_cohort, old_cohort);
  bool grows = Within(old_cohort, new_cohort);
  if (!shrinks && !grows) {
    return absl::FailedPreconditionError("one of the old and the new cohort must contain the other");
  }
  if (!SamePolicy(old_policy, new_policy) && !(shrinks && grows)) {
    return absl::FailedPreconditionError("the durability policy and the cohort cannot change at once");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> InterimStandbyNames(const clustermetadata::ShardRule& from,
                                                const clustermetadata::ShardRule& to) {
  // Acknowledgements from within the smaller cohort count in the larger one too, and the stricter policy's for the
  // other.
  const auto& stricter_policy = Covers(from.durability_policy(), to.durability_policy()) ? from : to;
  const auto& smaller = from.cohort_members_size() < to.cohort_members_size() ? from : to;
  return StandbyNames(stricter_policy.durability_policy(), CohortOf(smaller), to.leader_id());
}

}  // namespace mg::consensus
