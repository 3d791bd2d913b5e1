/// Carries out an appointment: Recruit, choice, Promote and SetPrimary. Safety rests on the poolers' answers alone;
/// nothing here is trusted that a snapshot said before. Facts: manager-rpcs section 10, "Change by a coordinator".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "components/multiorch/decision.h"
#include "components/multiorch/pooler_client.h"
#include "components/multiorch/shard_view.h"

namespace mg::multiorch {

/// A recruit and what it answered.
struct Recruited {
  clustermetadata::ID id;
  clustermetadata::ConsensusStatus status;
};

/// What to propose, from the recruits' answers. FAILED_PRECONDITION when they are not enough, or when one shows a rule
/// whose cohort is not sufficiently recruited.
struct Proposal {
  clustermetadata::ID leader;
  clustermetadata::RulePosition transition;  ///< decision: the outgoing rule; proposal: the new one
};
absl::StatusOr<Proposal> ChooseLeader(const Action& action, const clustermetadata::TermRevocation& revocation,
                                      const std::vector<Recruited>& recruited, absl::Time now);

/// The promise to ask for: one term above everything known.
clustermetadata::TermRevocation NewRevocation(const ShardView& view, const Action& action, absl::Time now);

/// Runs the whole appointment. `cancelled` ends it early. The rule that came of it.
absl::StatusOr<clustermetadata::ShardRule> Appoint(const ShardView& view, const Action& action,
                                                   const rpc::Dialer& dialer, const std::function<bool()>& cancelled);

}  // namespace mg::multiorch
