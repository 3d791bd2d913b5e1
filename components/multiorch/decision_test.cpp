#include "components/multiorch/decision.h"

#include <gtest/gtest.h>

#include "common/consensus/position.h"
#include "common/topology/topology.h"
#include "components/multiorch/coordinator.h"
#include "components/multiorch/problems.h"
#include "components/multiorch/test_nodes.h"

namespace mg::multiorch {
namespace {

namespace data = multipoolermanagerdata;

clustermetadata::ID Orch(const std::string& name) {
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIORCH);
  id.set_cell("zone1");
  id.set_name(name);
  return id;
}

clustermetadata::DurabilityPolicy AtLeast(int count) {
  clustermetadata::DurabilityPolicy policy;
  policy.set_policy_name("AT_LEAST_" + std::to_string(count));
  policy.set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  policy.set_required_count(count);
  return policy;
}

/// Three cells, one pooler in each; every pooler is connected and has nothing.
class DecisionTest : public testing::Test {
 protected:
  DecisionTest() {
    view_.self = Orch("self");
    view_.database.emplace();
    *view_.database->mutable_bootstrap_durability_policy() = AtLeast(2);
    for (int i = 1; i <= 3; ++i) {
      view_.database->add_cells("zone" + std::to_string(i));
      PoolerView& pooler = Pooler(i);
      *pooler.record.mutable_id() = Node(i);
      pooler.record.set_hostname("localhost");
      (*pooler.record.mutable_port_map())["postgres"] = 5000 + i;
      (*pooler.record.mutable_port_map())["grpc"] = 6000 + i;
      pooler.connected = true;
      pooler.last_seen = kNow;
    }
  }

  PoolerView& Pooler(int number) { return view_.poolers[topology::IdString(Node(number))]; }

  void Claim(int seed) {
    *view_.claim.mutable_claimer_id() = Node(seed);
    for (int i = 1; i <= 3; ++i) {
      *view_.claim.add_cohort_members() = Node(i);
    }
  }

  void Initialised(int number, std::int64_t term, std::int64_t subterm, int leader, const std::string& lsn = "0/1000") {
    data::StatusResponse& status = Pooler(number).status;
    status.mutable_status()->set_is_initialized(true);
    status.mutable_status()->set_has_data_directory(true);
    status.mutable_status()->set_postgres_ready(true);
    status.mutable_status()->set_postgres_status(data::POSTGRES_STATUS_STANDBY);
    auto* position = status.mutable_consensus_status()->mutable_current_position();
    position->set_lsn(lsn);
    auto* rule = position->mutable_position()->mutable_decision();
    rule->Clear();
    *rule->mutable_rule_number() = consensus::MakeRuleNumber(term, subterm);
    *rule->mutable_durability_policy() = AtLeast(2);
    if (leader != 0) {
      *rule->mutable_leader_id() = Node(leader);
      for (int i = 1; i <= 3; ++i) {
        *rule->add_cohort_members() = Node(i);
      }
    }
  }

  void Leads(int number) {
    auto* status = Pooler(number).status.mutable_status();
    status->set_postgres_status(data::POSTGRES_STATUS_PRIMARY);
    status->mutable_primary_status()->set_ready(true);
  }

  void Follows(int number, int leader) {
    data::StatusResponse& status = Pooler(number).status;
    auto* replication = status.mutable_status()->mutable_replication_status();
    replication->set_wal_receiver_status("streaming");
    replication->mutable_primary_conn_info()->set_host("localhost");
    replication->mutable_primary_conn_info()->set_port(5000 + leader);
    replication->mutable_wal_receiver_timeout()->set_seconds(10);
    replication->mutable_last_msg_receive_time()->set_seconds(absl::ToUnixSeconds(kNow));
    auto* primary = status.mutable_consensus_status()->mutable_replication_primary();
    *primary->mutable_position()->mutable_decision() =
        status.consensus_status().current_position().position().decision();
    *primary->mutable_primary()->mutable_id() = Node(leader);
  }

  void Promised(int number, std::int64_t term, const std::string& orch, absl::Time at) {
    auto* promise = Pooler(number).status.mutable_consensus_status()->mutable_term_revocation();
    promise->set_revoked_below_term(term);
    *promise->mutable_accepted_coordinator_id() = Orch(orch);
    promise->mutable_coordinator_initiated_at()->set_seconds(absl::ToUnixSeconds(at));
  }

  ShardView view_;
};

TEST_F(DecisionTest, WhenNobodyHasDataAndAllCellsAreThere_ClaimsTheFirstAsSeed) {
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kClaim) << action.why;
  EXPECT_EQ(action.claim.claimer_id().name(), "p1");
  EXPECT_EQ(action.claim.cohort_members_size(), 3);
}

TEST_F(DecisionTest, WhenACellIsMissing_WaitsForItWithABound) {
  Pooler(3).connected = false;
  Action action = Decide(&view_, kNow);
  EXPECT_EQ(action.kind, ActionKind::kNothing);
  EXPECT_EQ(action.wake_at, kNow + absl::Seconds(5));
  action = Decide(&view_, kNow + absl::Seconds(5));
  ASSERT_EQ(action.kind, ActionKind::kClaim);
  EXPECT_EQ(action.claim.cohort_members_size(), 2);
}

TEST_F(DecisionTest, WhenThereAreTooFewPoolers_NeverClaims) {
  Pooler(2).connected = false;
  Pooler(3).connected = false;
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Hours(1)).kind, ActionKind::kNothing);
}

TEST_F(DecisionTest, WhenSomebodyHasData_DoesNotClaim) {
  Pooler(2).status.mutable_status()->set_has_data_directory(true);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kNothing);
}

TEST_F(DecisionTest, WhenTheSeedStaysAway_TheClaimIsTakenOver) {
  Claim(1);
  Pooler(1).connected = false;
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(9)).kind, ActionKind::kNothing);
  Action action = Decide(&view_, kNow + absl::Seconds(10));
  ASSERT_EQ(action.kind, ActionKind::kReplaceClaim);
  EXPECT_EQ(action.claim.claimer_id().name(), "p2");
  EXPECT_EQ(action.claim.cohort_members_size(), 2);
}

TEST_F(DecisionTest, WhenTheSeedStaysAwayButSomebodyHasData_TheClaimStands) {
  Claim(1);
  Pooler(1).connected = false;
  Pooler(3).status.mutable_status()->set_has_data_directory(true);
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Hours(1)).kind, ActionKind::kNothing);
}

TEST_F(DecisionTest, WhenAMemberStaysAway_TheSeedIsKept) {
  Claim(2);
  Pooler(1).connected = false;
  Decide(&view_, kNow);
  Action action = Decide(&view_, kNow + absl::Seconds(10));
  ASSERT_EQ(action.kind, ActionKind::kReplaceClaim);
  EXPECT_EQ(action.claim.claimer_id().name(), "p2");
}

TEST_F(DecisionTest, WhenFoundedAndAllAreInitialised_AppointsForTheFirstTime) {
  Claim(1);
  Initialised(1, 0, 1, 0);
  Initialised(2, 0, 1, 0);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kNothing);
  Initialised(3, 0, 1, 0);
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kAppoint) << action.why;
  EXPECT_TRUE(action.first_appointment);
  EXPECT_EQ(action.recruits.size(), 3u);
  EXPECT_EQ(action.outgoing.cohort_members_size(), 3);
}

TEST_F(DecisionTest, WhenTheLastCopyIsStarting_AppointsAlready) {
  Claim(1);
  Initialised(1, 0, 1, 0);
  Initialised(2, 0, 1, 0);
  Pooler(3).status.mutable_status()->set_has_data_directory(true);
  Pooler(3).status.mutable_status()->set_postgres_action(data::POSTGRES_ACTION_STARTING);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenAClaimedPoolerNeverInitialises_AppointsWithTheQuorumAfterABound) {
  Claim(1);
  Initialised(1, 0, 1, 0);
  Initialised(2, 0, 1, 0);
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(19)).kind, ActionKind::kNothing);
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(20)).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenWarmAndAllAreThere_AppointsAtOnce) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kAppoint);
  EXPECT_FALSE(action.first_appointment);
}

TEST_F(DecisionTest, WhenOneMemberIsMissing_WaitsForItAMoment) {
  Initialised(1, 4, 0, 2);
  Initialised(3, 4, 0, 2);
  Pooler(2).connected = false;
  Action action = Decide(&view_, kNow);
  EXPECT_EQ(action.kind, ActionKind::kNothing);
  EXPECT_EQ(action.wake_at, kNow + absl::Milliseconds(300));
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(300)).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenThereIsNoQuorum_NeverAppoints) {
  Initialised(1, 4, 0, 2);
  Pooler(2).connected = false;
  Pooler(3).connected = false;
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Hours(1)).kind, ActionKind::kNothing);
}

TEST_F(DecisionTest, WhenThisOrchHasARank_LeavesTheFirstTurnToTheOthers) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  view_.rank = 2;
  EXPECT_EQ(Decide(&view_, kNow).wake_at, kNow + absl::Milliseconds(400));
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(400)).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenAnotherOrchHasRecruited_BacksOffAndComesBack) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Promised(3, 5, "other", kNow);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kNothing);
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(2)).kind, ActionKind::kAppoint);
  Promised(3, 5, "self", kNow);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenTheLeaderServes_PointsTheOthersToIt) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kMaintain);
  ASSERT_EQ(action.set_primary.size(), 1u);
  EXPECT_EQ(action.set_primary[0], "multipooler-zone3-p3");
  EXPECT_EQ(action.leader.primary().postgres_port(), 5002);
  Pooler(3).last_set_primary = kNow;
  action = Decide(&view_, kNow + absl::Milliseconds(500));
  EXPECT_EQ(action.kind, ActionKind::kNothing);
  EXPECT_EQ(action.wake_at, kNow + absl::Seconds(1));
  Follows(3, 2);
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(2)).kind, ActionKind::kNothing);
}

TEST_F(DecisionTest, WhenAStreamingPoolerIsNotInTheCohort_TakesItIn) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
    Pooler(i)
        .status.mutable_consensus_status()
        ->mutable_current_position()
        ->mutable_position()
        ->mutable_decision()
        ->mutable_cohort_members()
        ->RemoveLast();
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kMaintain);
  ASSERT_EQ(action.add_members.size(), 1u);
  EXPECT_EQ(action.add_members[0].name(), "p3");
}

TEST_F(DecisionTest, WhenOnlyTheLeadersPoolerIsAway_StreamingFollowersKeepIt) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Pooler(2).connected = false;
  Follows(1, 2);
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(1)).kind, ActionKind::kNothing);
  Pooler(1).status.mutable_status()->mutable_replication_status()->clear_wal_receiver_status();
  Decide(&view_, kNow + absl::Seconds(1));
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(2)).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenTheLeadersPoolerIsSilentAndItsHeartbeatsAreMissing_AppointsAnother) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  Pooler(2).last_seen = kNow - view_.stale_after - absl::Seconds(1);
  auto lag = [&](int number) {
    return Pooler(number).status.mutable_status()->mutable_replication_status()->mutable_lag();
  };
  lag(1)->set_seconds(3);
  lag(3)->set_seconds(1);
  EXPECT_TRUE(LeaderIsAlive(view_, *HighestRule(view_), kNow)) << "a follower has a fresh heartbeat";
  lag(3)->set_seconds(3);
  EXPECT_FALSE(LeaderIsAlive(view_, *HighestRule(view_), kNow));
}

TEST_F(DecisionTest, WhenTheLeadersPoolerIsFrozen_ItsFollowersDecide) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  Pooler(2).last_seen = kNow - view_.stale_after - absl::Seconds(1);
  EXPECT_TRUE(LeaderIsAlive(view_, *HighestRule(view_), kNow));
  Pooler(1).status.mutable_status()->mutable_replication_status()->clear_wal_receiver_status();
  Pooler(3).status.mutable_status()->mutable_replication_status()->clear_wal_receiver_status();
  EXPECT_FALSE(LeaderIsAlive(view_, *HighestRule(view_), kNow));
}

TEST_F(DecisionTest, WhenTooFewAreHeard_NobodyIsRecruited) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Pooler(2).last_seen = Pooler(3).last_seen = kNow - view_.stale_after - absl::Seconds(1);
  Decide(&view_, kNow);
  Action action = Decide(&view_, kNow + absl::Seconds(1));
  EXPECT_EQ(action.kind, ActionKind::kNothing) << "a promise of p1 alone would only cut it off from its leader";
  Pooler(3).last_seen = kNow + absl::Seconds(1);
  Decide(&view_, kNow + absl::Seconds(1));
  action = Decide(&view_, kNow + absl::Seconds(2));
  ASSERT_EQ(action.kind, ActionKind::kAppoint) << action.why;
  EXPECT_EQ(action.recruits.size(), 3u) << "whoever is silent is asked all the same";
}

TEST_F(DecisionTest, WhenTheLeaderIsSilent_WhatTheOtherOrchsHearDecides) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  EXPECT_TRUE(Decide(&view_, kNow).ask_about.name().empty());
  Pooler(2).last_seen = kNow - view_.stale_after - absl::Milliseconds(1);
  Action action = Decide(&view_, kNow);
  EXPECT_EQ(action.ask_about.name(), "p2");
  EXPECT_EQ(action.kind, ActionKind::kNothing) << "its followers have heartbeats";
  view_.sight = {.pooler = Node(2), .at = kNow, .answered = 1, .heard = true};
  EXPECT_TRUE(LeaderIsAlive(view_, *HighestRule(view_), kNow));
  EXPECT_TRUE(Decide(&view_, kNow).ask_about.name().empty()) << "it has just been asked";
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(300)).ask_about.name(), "p2");
  view_.sight.heard = false;
  EXPECT_FALSE(LeaderIsAlive(view_, *HighestRule(view_), kNow));
  view_.sight.answered = 0;
  EXPECT_TRUE(LeaderIsAlive(view_, *HighestRule(view_), kNow)) << "nobody has answered: the heartbeats decide";
}

TEST_F(DecisionTest, WhenAnotherCoordinatorIsAtWork_LeavesItsTurn) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Pooler(2).connected = false;
  Promised(1, 5, "zone3", kNow);
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(900)).kind, ActionKind::kNothing);
  Action action = Decide(&view_, kNow + absl::Milliseconds(1100));
  ASSERT_EQ(action.kind, ActionKind::kAppoint) << action.why;
  EXPECT_EQ(action.other_term, 5) << "so that its coordinator can be asked first";
  EXPECT_EQ(action.other_coordinator.name(), "zone3");
  view_.others_until = kNow + absl::Milliseconds(1600);
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(1500)).kind, ActionKind::kNothing);
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(1600)).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenAFollowerDoesNotStream_TellsItAgain) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kNothing);
  Pooler(3).status.mutable_status()->mutable_replication_status()->set_wal_receiver_status("");
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kMaintain);
  EXPECT_EQ(action.set_primary, std::vector<std::string>{topology::IdString(Node(3))});
}

TEST_F(DecisionTest, WhenTheLeadersPostgresHasGone_AppointsAnother) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Pooler(2).status.mutable_status()->set_postgres_ready(false);
  Decide(&view_, kNow);
  EXPECT_EQ(Decide(&view_, kNow + absl::Milliseconds(300)).kind, ActionKind::kAppoint);
  std::vector<::multiorch::DetectedProblem> problems = Analyse(view_, kNow);
  ASSERT_FALSE(problems.empty());
  EXPECT_EQ(problems[0].code(), "LeaderUnhealthy");
}

TEST_F(DecisionTest, StandbyOutOfReach_IsAProblem_WhateverItSaidLast) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  EXPECT_TRUE(Analyse(view_, kNow).empty());
  Pooler(3).connected = false;
  Pooler(3).unreachable_since = kNow;
  EXPECT_TRUE(Analyse(view_, kNow + absl::Milliseconds(500)).empty()) << "a stream that is made anew";
  std::vector<::multiorch::DetectedProblem> problems = Analyse(view_, kNow + absl::Seconds(2));
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].code(), "ReplicaNotReplicating");
  EXPECT_EQ(problems[0].pooler_id().name(), Node(3).name());
}

TEST_F(DecisionTest, WhenTheLeadersPostgresIsCutOff_TheOthersReplaceIt) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 2, 1, 1);
    auto* rule =
        Pooler(i).status.mutable_consensus_status()->mutable_current_position()->mutable_position()->mutable_decision();
    rule->mutable_creation_time()->set_seconds(absl::ToUnixSeconds(kNow - absl::Seconds(9)));
  }
  Leads(1);
  Follows(2, 1);
  Follows(3, 1);
  EXPECT_NE(Decide(&view_, kNow).kind, ActionKind::kAppoint);
  auto* leadership = Pooler(1).status.mutable_availability_status()->mutable_leadership_status();
  leadership->set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
  leadership->set_leader_term(2);
  Action early = Decide(&view_, kNow);
  EXPECT_NE(early.kind, ActionKind::kAppoint) << "it has just been appointed: " << early.why;
  EXPECT_LE(early.wake_at, kNow + absl::Seconds(1));
  for (auto& [text, pooler] : view_.poolers) {
    pooler.last_seen = kNow + absl::Seconds(2);
  }
  Pooler(3).connected = false;
  EXPECT_NE(Decide(&view_, kNow + absl::Seconds(2)).kind, ActionKind::kAppoint) << "one alone is no quorum";
  Pooler(3).connected = true;
  Action action = Decide(&view_, kNow + absl::Seconds(2));
  EXPECT_EQ(action.kind, ActionKind::kAppoint) << action.why;
  EXPECT_EQ(action.recruits.size(), 2u) << "it cannot hear of a new rule";
}

TEST_F(DecisionTest, WhenTheLeaderHasHandedOver_ItIsAskedOnlyWhereTheOthersStandStill) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 2, 1, 1);
  }
  auto* leadership = Pooler(1).status.mutable_availability_status()->mutable_leadership_status();
  leadership->set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
  leadership->set_leader_term(2);
  Action action = Decide(&view_, kNow);
  ASSERT_EQ(action.kind, ActionKind::kAppoint) << action.why;
  EXPECT_EQ(action.recruits.size(), 2u);
  ASSERT_EQ(action.reserve.size(), 1u);
  EXPECT_TRUE(consensus::SameNode(action.reserve.front(), Node(1)));
  EXPECT_TRUE(action.absent.empty());

  // With one of the others out of reach it is asked at once, and the other one when it may be back.
  Pooler(3).connected = false;
  Decide(&view_, kNow);
  action = Decide(&view_, kNow + absl::Seconds(1));
  ASSERT_EQ(action.kind, ActionKind::kAppoint) << action.why;
  EXPECT_EQ(action.recruits.size(), 2u);
  EXPECT_TRUE(action.reserve.empty());
  ASSERT_EQ(action.absent.size(), 1u);
  EXPECT_TRUE(consensus::SameNode(action.absent.front(), Node(3)));
}

TEST_F(DecisionTest, WhenARecruitmentWasAbandoned_AppointsAnewAfterAWhile) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Follows(1, 2);
  Follows(3, 2);
  Promised(3, 5, "other", kNow);
  EXPECT_EQ(Decide(&view_, kNow).wake_at, kNow + absl::Seconds(5));
  EXPECT_EQ(Decide(&view_, kNow + absl::Seconds(5)).kind, ActionKind::kAppoint);
}

TEST_F(DecisionTest, WhenTheLeaderIsRevoked_ItIsNotAlive) {
  for (int i = 1; i <= 3; ++i) {
    Initialised(i, 4, 0, 2);
  }
  Leads(2);
  Promised(2, 5, "self", kNow);
  EXPECT_EQ(Decide(&view_, kNow).kind, ActionKind::kAppoint);
}

class ChooseTest : public DecisionTest {
 protected:
  ChooseTest() {
    for (int i = 1; i <= 3; ++i) {
      Initialised(i, 4, 0, 2);
    }
    action_ = Decide(&view_, kNow);
    revocation_ = NewRevocation(view_, action_, kNow);
  }
  Recruited Answer(int number) { return {Node(number), Pooler(number).status.consensus_status()}; }
  Action action_;
  clustermetadata::TermRevocation revocation_;
};

TEST_F(ChooseTest, WhenARevocationIsMade_ItsTermIsAboveEverythingKnown) {
  EXPECT_EQ(revocation_.revoked_below_term(), 5);
  Promised(1, 9, "other", kNow);
  EXPECT_EQ(NewRevocation(view_, action_, kNow).revoked_below_term(), 10);
  EXPECT_EQ(consensus::ToString(revocation_.outgoing_rule()), "{4,0}");
}

TEST_F(ChooseTest, WhenOneIsMoreAdvanced_ItLeads) {
  Initialised(3, 4, 0, 2, "0/2000");
  auto proposal = ChooseLeader(action_, revocation_, {Answer(1), Answer(3), Answer(2)}, kNow);
  ASSERT_TRUE(proposal.ok()) << proposal.status();
  EXPECT_EQ(proposal->leader.name(), "p3");
  EXPECT_EQ(consensus::ToString(proposal->transition.proposal().rule_number()), "{5,0}");
  EXPECT_EQ(proposal->transition.proposal().cohort_members_size(), 3);
}

TEST_F(ChooseTest, WhenPositionsAreEqual_TheFormerLeaderLeads) {
  EXPECT_EQ(ChooseLeader(action_, revocation_, {Answer(1), Answer(2), Answer(3)}, kNow)->leader.name(), "p2");
  EXPECT_EQ(ChooseLeader(action_, revocation_, {Answer(3), Answer(1)}, kNow)->leader.name(), "p1");
}

TEST_F(ChooseTest, WhenTooFewAreRecruited_NothingIsProposed) {
  EXPECT_FALSE(ChooseLeader(action_, revocation_, {Answer(2)}, kNow).ok());
  EXPECT_FALSE(ChooseLeader(action_, revocation_, {}, kNow).ok());
}

TEST_F(ChooseTest, WhenAFirstAppointmentWasCutShort_ItsCohortIsAppointedToAgain) {
  for (int i : {1, 3}) {
    auto* decision =
        Pooler(i).status.mutable_consensus_status()->mutable_current_position()->mutable_position()->mutable_decision();
    *decision->mutable_rule_number() = consensus::MakeRuleNumber(0, 1);
    decision->clear_cohort_members();
  }
  auto proposal = ChooseLeader(action_, revocation_, {Answer(1), Answer(3)}, kNow);
  ASSERT_TRUE(proposal.ok()) << proposal.status();
  EXPECT_EQ(proposal->leader.name(), "p1");
  EXPECT_EQ(proposal->transition.proposal().cohort_members_size(), 3);
  EXPECT_EQ(consensus::ToString(proposal->transition.decision().rule_number()), "{0,1}");
  EXPECT_FALSE(ChooseLeader(action_, revocation_, {Answer(3)}, kNow).ok())
      << "no quorum of the rule that was cut short";
}

TEST_F(ChooseTest, WhenARecruitShowsALargerUndecidedCohort_ItsQuorumCountsToo) {
  auto* position = Pooler(1).status.mutable_consensus_status()->mutable_current_position()->mutable_position();
  *position->mutable_proposal() = position->decision();
  *position->mutable_proposal()->mutable_rule_number() = consensus::MakeRuleNumber(4, 1);
  *position->mutable_proposal()->add_cohort_members() = Node(4);
  *position->mutable_proposal()->add_cohort_members() = Node(5);
  EXPECT_FALSE(ChooseLeader(action_, revocation_, {Answer(1), Answer(2), Answer(3)}, kNow).ok());
}

TEST_F(ChooseTest, WhenPositionsAreEqualAndTheFormerLeaderIsGone_ItsCellIsPreferred) {
  action_.outgoing.mutable_leader_id()->set_cell("zone3");
  action_.outgoing.mutable_leader_id()->set_name("gone");
  EXPECT_EQ(ChooseLeader(action_, revocation_, {Answer(1), Answer(3)}, kNow)->leader.name(), "p3");
}

}  // namespace
}  // namespace mg::multiorch
