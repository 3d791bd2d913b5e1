// Drained nodes vote and acknowledge; they lead only where nobody else is as advanced.
#include <gtest/gtest.h>

#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"
#include "components/multiorch/coordinator.h"
#include "components/multiorch/decision.h"
#include "components/multiorch/test_nodes.h"

namespace mg::multiorch {
namespace {

/// Three poolers under rule {3,0}: the first leads, the others stream.
class DrainTest : public testing::Test {
 protected:
  DrainTest() {
    view_.database.emplace();
    view_.self.set_name("self");
    *rule_.mutable_rule_number() = consensus::MakeRuleNumber(3, 0);
    *rule_.mutable_leader_id() = Node(1);
    *rule_.mutable_durability_policy() = *consensus::PolicyByName("AT_LEAST_2");
    for (int i = 1; i <= 3; ++i) {
      *rule_.add_cohort_members() = Node(i);
    }
    for (int i = 1; i <= 3; ++i) {
      PoolerView& pooler = Pooler(i);
      *pooler.record.mutable_id() = Node(i);
      pooler.record.set_hostname("localhost");
      (*pooler.record.mutable_port_map())["postgres"] = 5000 + i;
      pooler.connected = true;
      pooler.last_seen = kNow;
      auto* consensus = pooler.status.mutable_consensus_status();
      consensus->mutable_current_position()->set_lsn("0/1000");
      *consensus->mutable_current_position()->mutable_position()->mutable_decision() = rule_;
      auto* status = pooler.status.mutable_status();
      status->set_postgres_ready(true);
      status->set_is_initialized(true);
      if (i == 1) {
        status->set_postgres_status(multipoolermanagerdata::POSTGRES_STATUS_PRIMARY);
        status->mutable_primary_status()->set_ready(true);
        continue;
      }
      status->set_postgres_status(multipoolermanagerdata::POSTGRES_STATUS_STANDBY);
      status->mutable_replication_status()->set_wal_receiver_status("streaming");
      status->mutable_replication_status()->mutable_primary_conn_info()->set_host("localhost");
      status->mutable_replication_status()->mutable_primary_conn_info()->set_port(5001);
      *consensus->mutable_replication_primary()->mutable_position()->mutable_decision() = rule_;
    }
  }

  PoolerView& Pooler(int number) { return view_.poolers[topology::IdString(Node(number))]; }
  void Drain(int number) { Pooler(number).status.mutable_status()->set_pooler_type(clustermetadata::DRAINED); }
  void Stamp(absl::Time now) {
    for (auto& [text, pooler] : view_.poolers) {
      pooler.last_seen = now;
    }
  }

  std::string Chosen(const std::string& second, const std::string& third) {
    Pooler(1).status.mutable_status()->set_postgres_ready(false);
    Pooler(1).connected = false;
    Decide(&view_, kNow);
    Action action = Decide(&view_, kNow + absl::Seconds(1));
    EXPECT_EQ(action.kind, ActionKind::kAppoint) << action.why;
    EXPECT_EQ(action.recruits.size(), 2u) << "drained nodes vote";
    std::vector<Recruited> recruited;
    for (auto [number, lsn] : {std::pair(2, second), std::pair(3, third)}) {
      recruited.push_back({Node(number), Pooler(number).status.consensus_status()});
      recruited.back().status.mutable_current_position()->set_lsn(lsn);
    }
    auto proposal = ChooseLeader(action, NewRevocation(view_, action, kNow), recruited, kNow);
    return proposal.ok() ? proposal->leader.name() : std::string(proposal.status().message());
  }

  ShardView view_;
  clustermetadata::ShardRule rule_;
};

TEST_F(DrainTest, WhenTwoAreEquallyFar_TheOneThatIsNotDrainedLeads) {
  Drain(2);
  EXPECT_EQ(Chosen("0/1000", "0/1000"), "p3");
}

TEST_F(DrainTest, WhenTheDrainedOneHasMore_ItLeads) {
  Drain(2);
  EXPECT_EQ(Chosen("0/2000", "0/1000"), "p2");
}

TEST_F(DrainTest, WhenADrainedNodeLeads_ItIsAskedToHandOverOnceAnotherCanLead) {
  Drain(1);
  EXPECT_FALSE(Decide(&view_, kNow).hand_over);
  Stamp(kNow + absl::Seconds(2));
  EXPECT_TRUE(Decide(&view_, kNow + absl::Seconds(2)).hand_over);
  EXPECT_FALSE(Decide(&view_, kNow + absl::Seconds(2)).hand_over) << "once is enough for a while";
}

TEST_F(DrainTest, WhenEverybodyElseIsDrainedOrAway_ADrainedLeaderStays) {
  Drain(1);
  Drain(2);
  Pooler(3).connected = false;
  EXPECT_FALSE(Decide(&view_, kNow).hand_over);
  Stamp(kNow + absl::Seconds(9));
  EXPECT_FALSE(Decide(&view_, kNow + absl::Seconds(9)).hand_over);
}

}  // namespace
}  // namespace mg::multiorch
