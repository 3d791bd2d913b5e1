/// Durability policies: what makes a write durable, which standby names say so to PostgreSQL, and how many nodes must
/// promise before a rule may be replaced. Facts: manager-rpcs section 10. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clustermetadata.pb.h"

namespace mg::consensus {

using Cohort = std::vector<clustermetadata::ID>;

Cohort CohortOf(const clustermetadata::ShardRule& rule);
bool Contains(const Cohort& cohort, const clustermetadata::ID& id);

/// AT_LEAST_<n> or MULTI_CELL_AT_LEAST_<n>, n from 1 to 7. INVALID_ARGUMENT.
absl::StatusOr<clustermetadata::DurabilityPolicy> PolicyByName(absl::string_view name);

/// Known type and a count of at least 1. INVALID_ARGUMENT.
absl::Status ValidatePolicy(const clustermetadata::DurabilityPolicy& policy);

/// The value of synchronous_standby_names on `leader`. Empty for a count of 1 (local commit). FAILED_PRECONDITION when
/// the cohort cannot satisfy the policy; INVALID_ARGUMENT for a name that PostgreSQL would cut.
absl::StatusOr<std::string> StandbyNames(const clustermetadata::DurabilityPolicy& policy, const Cohort& cohort,
                                         const clustermetadata::ID& leader);

/// Whether a write that exactly `holders` have is durable.
bool Satisfies(const clustermetadata::DurabilityPolicy& policy, const Cohort& holders);

/// OK when the nodes of `recruited` that belong to `outgoing`'s cohort are a majority of it, and those not recruited do
/// not satisfy the policy by themselves: then no write can become durable without them, and every durable write is on
/// one of them. FAILED_PRECONDITION says what is missing. A rule without a cohort ({0,1}) needs nobody.
absl::Status CheckRecruitmentQuorum(const clustermetadata::ShardRule& outgoing, const Cohort& recruited);

/// Whether a leader may go from one rule to another by itself: the policy or the cohort changes, not both; whatever
/// satisfies one of the policies satisfies the other too; one cohort within the other. FAILED_PRECONDITION.
absl::Status CheckTransition(const clustermetadata::ShardRule& from, const clustermetadata::ShardRule& to);

/// Standby names under which a write is durable by both rules, for the time of a change that CheckTransition allows.
absl::StatusOr<std::string> InterimStandbyNames(const clustermetadata::ShardRule& from,
                                                const clustermetadata::ShardRule& to);

}  // namespace mg::consensus
