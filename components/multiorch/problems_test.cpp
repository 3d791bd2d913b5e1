#include "components/multiorch/problems.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"
#include "components/multiorch/test_nodes.h"

namespace mg::multiorch {
namespace {

/// Three poolers under rule {3,0}: the first leads, the others stream.
class ProblemsTest : public testing::Test {
 protected:
  ProblemsTest() {
    clustermetadata::ShardRule rule;
    *rule.mutable_rule_number() = consensus::MakeRuleNumber(3, 0);
    *rule.mutable_leader_id() = Node(1);
    *rule.mutable_durability_policy() = *consensus::PolicyByName("AT_LEAST_2");
    for (int i = 1; i <= 3; ++i) {
      *rule.add_cohort_members() = Node(i);
    }
    for (int i = 1; i <= 3; ++i) {
      PoolerView& pooler = Pooler(i);
      *pooler.record.mutable_id() = Node(i);
      pooler.connected = true;
      pooler.last_seen = kNow;
      *pooler.status.mutable_consensus_status()->mutable_current_position()->mutable_position()->mutable_decision() =
          rule;
      auto* status = pooler.status.mutable_status();
      status->set_postgres_ready(true);
      status->set_postgres_status(i == 1 ? multipoolermanagerdata::POSTGRES_STATUS_PRIMARY
                                         : multipoolermanagerdata::POSTGRES_STATUS_STANDBY);
      status->mutable_replication_status()->set_wal_receiver_status("streaming");
    }
  }

  PoolerView& Pooler(int number) { return view_.poolers[topology::IdString(Node(number))]; }

  /// `CODE pN` for each, with a space between.
  std::string Found() {
    std::string text;
    for (const auto& problem : Analyse(view_, kNow)) {
      absl::StrAppend(&text, text.empty() ? "" : " ", problem.code(), ":", problem.pooler_id().name());
    }
    return text;
  }

  ShardView view_;
};

TEST_F(ProblemsTest, WhenAllIsWell_ThereIsNone) { EXPECT_EQ(Found(), ""); }

TEST_F(ProblemsTest, WhenStandbysHaveShutDown_TheyAreNamed_AndTheLeaderThatIsAloneIsStuck) {
  view_.poolers.erase(topology::IdString(Node(2)));
  EXPECT_EQ(Found(), "ReplicaNotReplicating:p2");
  view_.poolers.erase(topology::IdString(Node(3)));
  auto* leadership = Pooler(1).status.mutable_availability_status()->mutable_leadership_status();
  leadership->set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
  leadership->set_leader_term(2);
  EXPECT_EQ(Found(), "ReplicaNotReplicating:p2 ReplicaNotReplicating:p3") << "a wish of an earlier term says nothing";
  leadership->set_leader_term(3);
  EXPECT_EQ(Found(), "ShardStuck: ReplicaNotReplicating:p2 ReplicaNotReplicating:p3");
}

TEST_F(ProblemsTest, WhenTheLeaderIsGoneAndNobodyCanFollow_TheShardIsStuck) {
  for (int number : {1, 2}) {
    Pooler(number).connected = false;
    Pooler(number).unreachable_since = kNow - absl::Minutes(1);
  }
  Pooler(3).status.mutable_status()->mutable_replication_status()->set_wal_receiver_status("");
  EXPECT_EQ(Found(), "LeaderUnreachableByCohort:p1 ShardStuck:");
}

}  // namespace
}  // namespace mg::multiorch
