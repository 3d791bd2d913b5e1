/// State of a shard to the next action: a pure function. Facts: manager-rpcs sections 10 and 11; what is ours and not
/// upstream's (shorter graces, the seed's claim) is in docs/decisions and the product's design.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "components/multiorch/shard_view.h"

namespace mg::multiorch {

enum class ActionKind {
  kNothing,
  kClaim,         ///< write the shard's claim (create)
  kReplaceClaim,  ///< write another one over it (compare and swap)
  kAppoint,       ///< recruit, promote, set primary
  kMaintain,      ///< the leader is alive: point others to it, take new ones into the cohort
};

/// A rule that somebody has asked for.
struct RuleWish {
  clustermetadata::ID leader;
  std::vector<clustermetadata::ID> cohort;
  clustermetadata::DurabilityPolicy policy;
  /// Somebody vouches from outside that under the outgoing rule nothing beyond `frozen_lsn` was acknowledged or ever
  /// will be: then that rule's quorum is not needed.
  std::optional<clustermetadata::ExternallyCertifiedRevocation> certificate;
};

struct Action {
  ActionKind kind = ActionKind::kNothing;
  std::string why;                              ///< for the log
  absl::Time wake_at = absl::InfiniteFuture();  ///< when to decide again though nothing has happened
  clustermetadata::ShardInitClaim claim;        ///< kClaim, kReplaceClaim
  clustermetadata::ShardRule outgoing;          ///< kAppoint: the highest rule known; for the first one {0,1} with the
                                                ///< claim's members and the bootstrap policy filled in
  bool first_appointment = false;               ///< kAppoint
  std::vector<clustermetadata::ID> recruits;    ///< kAppoint: whom to ask
  /// kAppoint: whom to ask as well where the recruits are not enough in a moment, because one of them stands still: who
  /// has handed over, and is on its way to be a standby.
  std::vector<clustermetadata::ID> reserve;
  /// kAppoint: the same, of members out of this orch's reach; nobody waits for these.
  std::vector<clustermetadata::ID> absent;
  clustermetadata::ID preferred;                 ///< kAppoint: the leader on a tie; without a name: nobody
  std::vector<clustermetadata::ID> drained;      ///< kAppoint: leaders only where nobody else is as advanced
  bool hand_over = false;                        ///< kMaintain: the leader is drained, and others can lead
  std::optional<RuleWish> wish;                  ///< kAppoint: instead of what the position says
  clustermetadata::ReplicationPrimary leader;    ///< kMaintain: what to tell with SetPrimary
  std::vector<std::string> set_primary;          ///< kMaintain: to whom (ids as text)
  std::vector<clustermetadata::ID> add_members;  ///< kMaintain
  /// Whom to ask the other orchs about before the next decision; without a name: nobody.
  clustermetadata::ID ask_about;
  /// kAppoint: somebody else has begun the same; the term is 0 when nobody has.
  clustermetadata::ID other_coordinator;
  std::int64_t other_term = 0;
};

/// Keeps the `since_` members of `view` up to date, and decides.
Action Decide(ShardView* view, absl::Time now);

/// What to do for a wished rule, completed from the one in force: an appointment. The leader can change the cohort by
/// itself where UpdateByLeader says so. FAILED_PRECONDITION when nothing is known that it could replace, or somebody
/// needed is out of reach; INVALID_ARGUMENT for a wish that makes no rule.
absl::StatusOr<Action> PlanRuleChange(const ShardView& view, RuleWish wish, const std::string& reason);
/// Whether only the cohort differs from the leader's decided rule, by additions or by removals, or only the policy, to
/// one that covers the other or is covered by it; and the leader is there.
bool UpdateByLeader(const ShardView& view, const Action& action, absl::Time now);

/// The highest rule that any pooler knows, decided or proposed; nullptr when none does.
const clustermetadata::ShardRule* HighestRule(const ShardView& view);

/// Whether the leader of `rule` serves, or is about to. Later kinds of failure (see problems.h) end here.
bool LeaderIsAlive(const ShardView& view, const clustermetadata::ShardRule& rule, absl::Time now);

}  // namespace mg::multiorch
