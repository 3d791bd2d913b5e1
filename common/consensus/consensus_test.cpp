#include <gtest/gtest.h>

#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/consensus/revocation.h"

namespace mg::consensus {
namespace {

clustermetadata::ID Node(const std::string& cell, const std::string& name) {
  clustermetadata::ID id;
  id.set_cell(cell);
  id.set_name(name);
  return id;
}

clustermetadata::DurabilityPolicy Policy(int count, bool multi_cell = false) {
  clustermetadata::DurabilityPolicy policy;
  policy.set_policy_name("p");
  policy.set_required_count(count);
  policy.set_quorum_type(multi_cell ? clustermetadata::QUORUM_TYPE_MULTI_CELL_AT_LEAST_N
                                    : clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  return policy;
}

clustermetadata::ShardRule Rule(const clustermetadata::DurabilityPolicy& policy, const Cohort& cohort) {
  clustermetadata::ShardRule rule;
  *rule.mutable_rule_number() = MakeRuleNumber(1, 0);
  *rule.mutable_durability_policy() = policy;
  for (const auto& member : cohort) {
    *rule.add_cohort_members() = member;
  }
  *rule.mutable_leader_id() = cohort.front();
  return rule;
}

clustermetadata::PoolerPosition Position(std::int64_t term, std::int64_t subterm, const std::string& lsn) {
  clustermetadata::PoolerPosition position;
  *position.mutable_position()->mutable_decision()->mutable_rule_number() = MakeRuleNumber(term, subterm);
  position.set_lsn(lsn);
  return position;
}

clustermetadata::TermRevocation Revocation(std::int64_t term, const clustermetadata::RuleNumber& outgoing,
                                           const std::string& coordinator = "o1", std::int64_t at = 100) {
  clustermetadata::TermRevocation revocation;
  revocation.set_revoked_below_term(term);
  *revocation.mutable_accepted_coordinator_id() = Node("zone1", coordinator);
  revocation.mutable_coordinator_initiated_at()->set_seconds(at);
  *revocation.mutable_outgoing_rule() = outgoing;
  return revocation;
}

const Cohort kThree = {Node("zone1", "a"), Node("zone2", "b"), Node("zone3", "c")};

TEST(Lsn, WhenParsedAndFormatted_IsTheSame) {
  EXPECT_EQ(*ParseLsn("0/3000148"), 0x3000148u);
  EXPECT_EQ(*ParseLsn("1A/FF"), (0x1Aull << 32) | 0xFF);
  EXPECT_EQ(FormatLsn(*ParseLsn("1A/FF")), "1A/FF");
  EXPECT_FALSE(ParseLsn("").ok());
  EXPECT_FALSE(ParseLsn("3000148").ok());
}

TEST(ComparePositions, WhenRulesDiffer_LsnDoesNotCount) {
  EXPECT_GT(Compare(Position(2, 0, "0/1"), Position(1, 5, "9/0")), 0);
  EXPECT_LT(Compare(Position(2, 0, "0/1"), Position(2, 0, "0/2")), 0);
  clustermetadata::PoolerPosition proposed = Position(1, 0, "0/1");
  *proposed.mutable_position()->mutable_proposal()->mutable_rule_number() = MakeRuleNumber(2, 0);
  EXPECT_GT(Compare(proposed, Position(1, 0, "0/9")), 0);
}

TEST(StandbyNames, WhenAtLeastTwo_NamesTheWholeCohort) {
  EXPECT_EQ(*StandbyNames(Policy(2), kThree, kThree[0]), R"(ANY 1 ("zone1_a", "zone2_b", "zone3_c"))");
}

TEST(StandbyNames, WhenMultiCell_NamesOnlyOtherCells) {
  EXPECT_EQ(*StandbyNames(Policy(2, true), kThree, kThree[0]), R"(ANY 1 ("zone2_b", "zone3_c"))");
  EXPECT_EQ(StandbyNames(Policy(2, true), {Node("z", "a"), Node("z", "b")}, Node("z", "a")).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(StandbyNames, WhenOneIsEnough_CommitsLocally) {
  EXPECT_EQ(*StandbyNames(Policy(1), {kThree[0]}, kThree[0]), "");
  EXPECT_FALSE(StandbyNames(Policy(2), {kThree[0]}, kThree[0]).ok());
}

TEST(RecruitmentQuorum, WhenThreeNodesWithAtLeastTwo_NeedsTwo) {
  clustermetadata::ShardRule rule = Rule(Policy(2), kThree);
  EXPECT_FALSE(CheckRecruitmentQuorum(rule, {kThree[0]}).ok());
  EXPECT_TRUE(CheckRecruitmentQuorum(rule, {kThree[0], kThree[2]}).ok());
  EXPECT_FALSE(CheckRecruitmentQuorum(rule, {kThree[0], Node("zone9", "x")}).ok());
}

TEST(RecruitmentQuorum, WhenTheRestCouldAcknowledge_IsNotEnough) {
  Cohort five = kThree;
  five.push_back(Node("zone4", "d"));
  five.push_back(Node("zone5", "e"));
  clustermetadata::ShardRule rule = Rule(Policy(2), five);
  EXPECT_FALSE(CheckRecruitmentQuorum(rule, kThree).ok());
  EXPECT_TRUE(CheckRecruitmentQuorum(rule, {five[0], five[1], five[2], five[3]}).ok());
}

TEST(Transition, WhenCohortIsReplaced_IsRefused) {
  clustermetadata::ShardRule from = Rule(Policy(2), {kThree[0], kThree[1]});
  EXPECT_TRUE(CheckTransition(from, Rule(Policy(2), kThree)).ok());
  EXPECT_FALSE(CheckTransition(from, Rule(Policy(2), {kThree[0], kThree[2]})).ok());
  EXPECT_FALSE(CheckTransition(from, Rule(Policy(3), kThree)).ok());
  EXPECT_FALSE(CheckTransition(from, Rule(Policy(2, true), kThree)).ok());
}

TEST(Transition, WhenOnePolicyCoversTheOther_IsAllowed) {
  EXPECT_TRUE(CheckTransition(Rule(Policy(2), kThree), Rule(Policy(3), kThree)).ok());
  EXPECT_TRUE(CheckTransition(Rule(Policy(2), kThree), Rule(Policy(2, true), kThree)).ok());
  EXPECT_TRUE(CheckTransition(Rule(Policy(2, true), kThree), Rule(Policy(2), kThree)).ok());
  EXPECT_FALSE(CheckTransition(Rule(Policy(2, true), kThree), Rule(Policy(3), kThree)).ok());
}

TEST(InterimStandbyNames, WhenThePolicyChanges_TheStricterOneHolds) {
  clustermetadata::ShardRule nodes = Rule(Policy(2), kThree), cells = Rule(Policy(2, true), kThree);
  *nodes.mutable_leader_id() = *cells.mutable_leader_id() = kThree[0];
  std::string both = *StandbyNames(Policy(2, true), kThree, kThree[0]);
  EXPECT_NE(both, *StandbyNames(Policy(2), kThree, kThree[0]));
  EXPECT_EQ(*InterimStandbyNames(nodes, cells), both);
  EXPECT_EQ(*InterimStandbyNames(cells, nodes), both);
}

TEST(InterimStandbyNames, WhenCohortGrows_OnlyOldMembersCount) {
  clustermetadata::ShardRule from = Rule(Policy(2), {kThree[0], kThree[1]});
  EXPECT_EQ(*InterimStandbyNames(from, Rule(Policy(2), kThree)), R"(ANY 1 ("zone1_a", "zone2_b"))");
}

TEST(CheckRevocation, WhenTermIsNewAndPositionIsOutgoing_Accepts) {
  EXPECT_TRUE(CheckRevocation(Revocation(1, MakeRuleNumber(0, 1)), Position(0, 1, "0/1"), {}).ok());
  EXPECT_TRUE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 4)), Position(1, 0, "0/1"), {}).ok());
}

TEST(CheckRevocation, WhenNodeKnowsMoreThanTheCoordinator_Refuses) {
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), Position(2, 1, "0/1"), {}).ok());
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), Position(3, 0, "0/1"), {}).ok());
  clustermetadata::PoolerPosition proposed = Position(2, 0, "0/1");
  *proposed.mutable_position()->mutable_proposal()->mutable_rule_number() = MakeRuleNumber(3, 0);
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), proposed, {}).ok());
  EXPECT_TRUE(CheckRevocation(Revocation(4, MakeRuleNumber(2, 0)), proposed, {}).ok());
}

TEST(CheckRevocation, WhenTermWasPromised_AcceptsOnlyTheSamePromise) {
  clustermetadata::ConsensusPromises stored;
  *stored.mutable_term_revocation() = Revocation(3, MakeRuleNumber(2, 0));
  auto position = Position(2, 0, "0/1");
  EXPECT_TRUE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), position, stored).ok());
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0), "o2"), position, stored).ok());
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0), "o1", 101), position, stored).ok());
  stored.mutable_term_revocation()->set_revoked_below_term(4);
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), position, stored).ok());
}

TEST(CheckRevocation, WhenRequestIsIncomplete_IsInvalid) {
  EXPECT_EQ(CheckRevocation({}, Position(2, 0, "0/1"), {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckRevocation(Revocation(3, MakeRuleNumber(0, 0)), Position(2, 0, "0/1"), {}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), Position(2, 0, ""), {}).ok());
}

TEST(CheckRevocation, WhenARewindIsNotCaughtUp_Refuses) {
  clustermetadata::ConsensusPromises stored;
  *stored.mutable_recruit_blocked_until()->mutable_position()->mutable_decision() = MakeRuleNumber(2, 0);
  stored.mutable_recruit_blocked_until()->set_lsn("0/10");
  EXPECT_FALSE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), Position(2, 0, "0/F"), stored).ok());
  EXPECT_TRUE(CheckRevocation(Revocation(3, MakeRuleNumber(2, 0)), Position(2, 0, "0/11"), stored).ok());
}

}  // namespace
}  // namespace mg::consensus
