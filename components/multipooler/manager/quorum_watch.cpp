#include "components/multipooler/manager/quorum_watch.h"

#include <time.h>

#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"

namespace mg::multipooler {
namespace {

// Only the oldest matters while nobody confirms, and the latest when somebody does again; those between are for slow
// standbys.
constexpr std::size_t kMostWrites = 64;

}  // namespace

absl::Time QuorumWatch::Now() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::TimeFromTimespec(now);
}

void QuorumWatch::Lead(const clustermetadata::RuleNumber& rule, absl::Time now) {
  if (consensus::Compare(rule, rule_) == 0 && confirmed_ != absl::InfinitePast()) {
    return;
  }
  rule_ = rule;
  writes_.clear();
  confirmed_ = now;
}

void QuorumWatch::Wrote(absl::Time begun, std::uint64_t lsn) {
  if (writes_.size() == kMostWrites) {
    writes_.erase(writes_.begin() + 1);
  }
  writes_.push_back({begun, lsn});
}

void QuorumWatch::Saw(const PostgresView& view, absl::Time now) {
  const clustermetadata::ShardRule& rule = view.rule.decision();
  if (rule.cohort_members().empty()) {
    confirmed_ = now;
    return;
  }
  while (!writes_.empty()) {
    consensus::Cohort holders = {self_};
    for (const Follower& follower : view.followers) {
      absl::StatusOr<clustermetadata::ID> id = topology::ParseClusterId(follower.name);
      if (id.ok() && follower.flushed >= writes_.front().lsn && !consensus::SameNode(*id, self_) &&
          consensus::Contains(consensus::CohortOf(rule), *id)) {
        holders.push_back(*std::move(id));
      }
    }
    if (!consensus::Satisfies(rule.durability_policy(), holders)) {
      return;
    }
    confirmed_ = writes_.front().begun;
    writes_.pop_front();
  }
}

}  // namespace mg::multipooler
