#include "components/multiorch/problems.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"
#include "components/multiorch/decision.h"

namespace mg::multiorch {
namespace {

// Upstream's priorities.
constexpr int kBootstrap = 10000;
constexpr int kEmergency = 1000;
constexpr int kHigh = 500;
constexpr int kNormal = 100;

using Problems = std::vector<::multiorch::DetectedProblem>;

::multiorch::DetectedProblem Make(const ShardView& view, const char* code, int priority, std::string description,
                                  const clustermetadata::ID* pooler = nullptr) {
  ::multiorch::DetectedProblem problem;
  problem.set_code(code);
  problem.set_check_name(code);
  *problem.mutable_shard_key() = view.shard;
  problem.set_priority(priority);
  problem.set_description(std::move(description));
  problem.set_scope(pooler == nullptr ? "Shard" : "Pooler");
  if (pooler != nullptr) {
    *problem.mutable_pooler_id() = *pooler;
  }
  return problem;
}

/// A stream that breaks is there again in less, when nothing is wrong.
constexpr absl::Duration kOutOfReach = absl::Seconds(1);

bool Appointed(const clustermetadata::ShardRule* rule) {
  return rule != nullptr && rule->rule_number().coordinator_term() > 0;
}

void Initialisation(const ShardView& view, absl::Time, Problems* problems) {
  if (!Appointed(HighestRule(view))) {
    problems->push_back(Make(view, "ShardNeedsInitialization", kBootstrap, "no leader has been appointed yet"));
  }
}

void Leader(const ShardView& view, absl::Time now, Problems* problems) {
  const clustermetadata::ShardRule* rule = HighestRule(view);
  if (!Appointed(rule) || LeaderIsAlive(view, *rule, now)) {
    return;
  }
  auto leader = view.poolers.find(topology::IdString(rule->leader_id()));
  bool connected = leader != view.poolers.end() && leader->second.connected;
  problems->push_back(Make(view, connected ? "LeaderUnhealthy" : "LeaderUnreachableByCohort", kEmergency,
                           absl::StrCat("the leader of rule ", consensus::ToString(rule->rule_number()),
                                        connected ? " is not writable" : " is out of reach"),
                           &rule->leader_id()));
  consensus::Cohort there;
  for (const auto& [text, pooler] : view.poolers) {
    if (pooler.connected && pooler.status.status().postgres_ready()) {
      there.push_back(pooler.id());
    }
  }
  if (absl::Status quorum = consensus::CheckRecruitmentQuorum(*rule, there); !quorum.ok()) {
    problems->push_back(Make(view, "ShardStuck", kEmergency, std::string(quorum.message())));
  }
}

// It leads, and says itself that nobody confirms its log; nobody could be appointed in its place either, else he would
// be.
void Quorum(const ShardView& view, absl::Time now, Problems* problems) {
  const clustermetadata::ShardRule* rule = HighestRule(view);
  if (!Appointed(rule) || !LeaderIsAlive(view, *rule, now)) {
    return;
  }
  auto leader = view.poolers.find(topology::IdString(rule->leader_id()));
  if (leader == view.poolers.end()) {
    return;
  }
  const auto& leadership = leader->second.status.availability_status().leadership_status();
  if (leadership.signal() == clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION &&
      leadership.leader_term() == rule->rule_number().coordinator_term()) {
    problems->push_back(Make(view, "ShardStuck", kEmergency,
                             "too few of the cohort confirm the leader's log: nothing is read or written"));
  }
}

void Followers(const ShardView& view, absl::Time now, Problems* problems) {
  const clustermetadata::ShardRule* rule = HighestRule(view);
  if (!Appointed(rule) || !LeaderIsAlive(view, *rule, now)) {
    return;
  }
  consensus::Cohort cohort = consensus::CohortOf(*rule);
  for (const clustermetadata::ID& member : cohort) {
    if (view.poolers.count(topology::IdString(member)) == 0) {
      problems->push_back(
          Make(view, "ReplicaNotReplicating", kHigh, "has shut down, and is in the rule's cohort", &member));
    }
  }
  for (const auto& [text, pooler] : view.poolers) {
    if (consensus::SameNode(pooler.id(), rule->leader_id())) {
      continue;
    }
    const auto& status = pooler.status.status();
    if (!pooler.connected && pooler.unreachable_since + kOutOfReach < now) {
      // What it said last is no news.
      problems->push_back(Make(view, "ReplicaNotReplicating", kHigh,
                               "is out of reach of this orch: whether it streams is not known", &pooler.id()));
    } else if (status.postgres_status() == multipoolermanagerdata::POSTGRES_STATUS_PRIMARY) {
      problems->push_back(Make(view, "StaleLeader", kHigh, "writable under an old rule", &pooler.id()));
    } else if (status.replication_status().wal_receiver_status() != "streaming") {
      problems->push_back(Make(view, "ReplicaNotReplicating", kHigh, "does not stream from the leader", &pooler.id()));
    }
    if (!consensus::Contains(cohort, pooler.id())) {
      problems->push_back(Make(view, "PoolerNotInCohort", kNormal, "is not in the rule's cohort", &pooler.id()));
    }
  }
}

}  // namespace

std::vector<::multiorch::DetectedProblem> Analyse(const ShardView& view, absl::Time now) {
  constexpr std::array kAnalyses = {&Initialisation, &Leader, &Quorum, &Followers};
  Problems problems;
  for (auto analysis : kAnalyses) {
    analysis(view, now, &problems);
  }
  std::int64_t nanos = absl::ToUnixNanos(now);
  for (::multiorch::DetectedProblem& problem : problems) {
    problem.mutable_detected_at()->set_seconds(nanos / 1000000000);
    problem.mutable_detected_at()->set_nanos(static_cast<int>(nanos % 1000000000));
  }
  return problems;
}

}  // namespace mg::multiorch
