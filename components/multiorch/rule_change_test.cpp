#include <gtest/gtest.h>

#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"
#include "components/multiorch/coordinator.h"
#include "components/multiorch/decision.h"
#include "components/multiorch/test_nodes.h"

namespace mg::multiorch {
namespace {

/// Four poolers under the rule {3,0} of the first three, led by the first.
class RuleChangeTest : public testing::Test {
 protected:
  RuleChangeTest() {
    *rule_.mutable_rule_number() = consensus::MakeRuleNumber(3, 0);
    *rule_.mutable_leader_id() = Node(1);
    *rule_.mutable_durability_policy() = *consensus::PolicyByName("AT_LEAST_2");
    for (int i = 1; i <= 4; ++i) {
      if (i <= 3) {
        *rule_.add_cohort_members() = Node(i);
      }
      PoolerView& pooler = view_.poolers[topology::IdString(Node(i))];
      *pooler.record.mutable_id() = Node(i);
      pooler.connected = true;
      pooler.last_seen = kNow;
    }
    for (auto& [text, pooler] : view_.poolers) {
      *pooler.status.mutable_consensus_status()->mutable_current_position()->mutable_position()->mutable_decision() =
          rule_;
      pooler.status.mutable_status()->set_postgres_ready(true);
    }
    Pooler(1).status.mutable_status()->set_postgres_status(multipoolermanagerdata::POSTGRES_STATUS_PRIMARY);
    revocation_.set_revoked_below_term(4);
    *revocation_.mutable_outgoing_rule() = rule_.rule_number();
  }

  PoolerView& Pooler(int number) { return view_.poolers[topology::IdString(Node(number))]; }

  Recruited Answer(int number, const std::string& lsn) {
    Recruited recruit{.id = Node(number), .status = {}};
    *recruit.status.mutable_current_position()->mutable_position()->mutable_decision() = rule_;
    recruit.status.mutable_current_position()->set_lsn(lsn);
    return recruit;
  }

  ShardView view_;
  clustermetadata::ShardRule rule_;
  clustermetadata::TermRevocation revocation_;
};

TEST_F(RuleChangeTest, WhenOnlyTheCohortChanges_TheLeaderDoesItItself) {
  absl::StatusOr<Action> grow = PlanRuleChange(view_, {.cohort = {Node(1), Node(2), Node(3), Node(4)}}, "");
  ASSERT_TRUE(grow.ok()) << grow.status();
  EXPECT_TRUE(UpdateByLeader(view_, *grow, kNow));
  absl::StatusOr<Action> swap = PlanRuleChange(view_, {.cohort = {Node(1), Node(2), Node(4)}}, "");
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_FALSE(UpdateByLeader(view_, *swap, kNow));
  EXPECT_EQ(swap->recruits.size(), 4U);
  absl::StatusOr<Action> policy = PlanRuleChange(view_, {.policy = *consensus::PolicyByName("AT_LEAST_3")}, "");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(UpdateByLeader(view_, *policy, kNow)) << "only the policy";
  absl::StatusOr<Action> both = PlanRuleChange(
      view_, {.cohort = {Node(1), Node(2), Node(3), Node(4)}, .policy = *consensus::PolicyByName("AT_LEAST_3")}, "");
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_FALSE(UpdateByLeader(view_, *both, kNow));
}

TEST_F(RuleChangeTest, WhenTheWishMakesNoRule_IsRefused) {
  EXPECT_FALSE(PlanRuleChange(view_, {.cohort = {Node(2), Node(3)}}, "").ok());  // without the leader
  EXPECT_FALSE(PlanRuleChange(view_, {.cohort = {Node(1), Node(1)}}, "").ok());  // twice
  EXPECT_FALSE(PlanRuleChange(view_, {.cohort = {Node(1), Node(7)}}, "").ok());  // a stranger
  EXPECT_FALSE(PlanRuleChange(view_, {.cohort = {Node(1)}}, "").ok());           // too few for the policy
  EXPECT_FALSE(PlanRuleChange(view_, {.policy = *consensus::PolicyByName("AT_LEAST_5")}, "").ok());
}

TEST_F(RuleChangeTest, WhenTheOutgoingQuorumIsAway_OnlyACertificateHelps) {
  Pooler(2).connected = Pooler(3).connected = false;
  RuleWish wish{.leader = Node(1), .cohort = {Node(1), Node(4)}};
  EXPECT_FALSE(PlanRuleChange(view_, wish, "").ok());
  wish.certificate.emplace();
  *wish.certificate->mutable_term_revocation() = revocation_;
  wish.certificate->set_frozen_lsn("0/2000");
  absl::StatusOr<Action> action = PlanRuleChange(view_, wish, "");
  ASSERT_TRUE(action.ok()) << action.status();
  EXPECT_TRUE(ChooseLeader(*action, revocation_, {Answer(1, "0/2000"), Answer(4, "0/1")}, kNow).ok());
  EXPECT_FALSE(ChooseLeader(*action, revocation_, {Answer(1, "0/1FFF"), Answer(4, "0/1")}, kNow).ok());
}

TEST_F(RuleChangeTest, WhenTheWishedLeaderIsBehind_IsRefused) {
  absl::StatusOr<Action> action = PlanRuleChange(view_, {.leader = Node(2)}, "");
  ASSERT_TRUE(action.ok()) << action.status();
  EXPECT_FALSE(ChooseLeader(*action, revocation_, {Answer(1, "0/20"), Answer(2, "0/10")}, kNow).ok());
  absl::StatusOr<Proposal> proposal = ChooseLeader(*action, revocation_, {Answer(1, "0/20"), Answer(2, "0/20")}, kNow);
  ASSERT_TRUE(proposal.ok()) << proposal.status();
  EXPECT_EQ(proposal->leader.name(), "p2");
  EXPECT_EQ(proposal->transition.proposal().cohort_members_size(), 3);
}

}  // namespace
}  // namespace mg::multiorch
