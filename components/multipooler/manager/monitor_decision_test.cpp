#include "components/multipooler/manager/monitor_decision.h"

#include <gtest/gtest.h>

#include "common/consensus/position.h"
#include "components/multipooler/manager/divergence.h"

namespace mg::multipooler {
namespace {

clustermetadata::ID Node(const std::string& name) {
  clustermetadata::ID id;
  id.set_cell("zone1");
  id.set_name(name);
  return id;
}

Observation Connected(bool in_recovery, std::int64_t term, std::int64_t subterm, const std::string& leader) {
  Observation seen;
  seen.postgres = PgState::kRunning;
  seen.connected = true;
  seen.in_recovery = in_recovery;
  seen.has_rule = true;
  seen.self = Node("a");
  *seen.rule.mutable_decision()->mutable_rule_number() = consensus::MakeRuleNumber(term, subterm);
  *seen.rule.mutable_decision()->mutable_leader_id() = Node(leader);
  return seen;
}

TEST(MonitorDecision, WhenDataExists_StartsItAsAStandby) {
  Observation seen;
  seen.postgres = PgState::kStopped;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kStart);
  seen.restarts_enabled = false;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing);
}

TEST(MonitorDecision, WhenDataIsOfNoUse_ItIsReplacedOnlyWhileAnotherNodeLeads) {
  Observation seen;
  seen.postgres = PgState::kStopped;
  seen.unusable = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kStart) << "nobody leads: it may be needed";
  seen.leader_elsewhere = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kReplace);
  seen.restarts_enabled = false;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing) << "somebody works on it";
  seen.restarts_enabled = true;
  seen.postgres = PgState::kRunning;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kReplace) << "it runs and answers with errors";
  seen = Connected(/*in_recovery=*/true, 3, 0, "b");
  seen.unusable = seen.leader_elsewhere = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kReplace) << "it does not stream";
  seen = Connected(/*in_recovery=*/false, 3, 0, "a");
  seen.unusable = seen.leader_elsewhere = seen.leading = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing) << "a leader's data is never replaced";
}

TEST(MonitorDecision, WhenTheLeadersPostgresDies_GoesOnInPlaceOnlyWhereNobodyElseIsNeededOrPromised) {
  Observation seen;
  seen.postgres = PgState::kStopped;
  seen.died_leading = consensus::MakeRuleNumber(3, 1);
  seen.promised_term = 3;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kStart) << "others could be appointed sooner";
  seen.irreplaceable = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kRestart);
  seen.promised_term = 4;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kStart) << "a higher term is promised";
  seen.promised_term = 3;
  seen.rewind_unfinished = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing) << "half-rewound data";
  seen.rewind_unfinished = false;
  seen.restarts_enabled = false;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing);
  seen.restarts_enabled = true;
  seen.died_leading.Clear();
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kStart) << "it was tried, or it did not lead";
}

TEST(MonitorDecision, WhenNobodyConfirmsWhoGoesOnInPlace_ItGivesUpInTheEnd) {
  Observation seen = Connected(false, 3, 1, "a");
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kResume);
  seen.in_place_overdue = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kDemote);
}

TEST(MonitorDecision, WhileARestoresEndIsNotKnown_CopiesFromNobodyAndPutsBackFirst) {
  Observation seen;
  seen.postgres = PgState::kNotInitialized;
  seen.has_source = true;
  seen.restore_waits = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kAwaitRestore);
  seen.claimed_as_seed = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kBootstrap) << "whose outcome the others wait for";
  seen.restore_waits = false;
  seen.put_back_unfinished = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kPutBack);
  seen.postgres = PgState::kStopped;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kPutBack);
}

TEST(MonitorDecision, WhenThereIsNoData_OnlyTheClaimedSeedBootstraps) {
  Observation seen;
  seen.postgres = PgState::kNotInitialized;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing);
  seen.claimed_as_seed = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kBootstrap);
  seen.claimed_as_seed = false;
  seen.has_source = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kClone);
}

TEST(MonitorDecision, WhenTheSeedHasLostItsDataAfterAPromise_NeverBootstrapsAgain) {
  Observation seen;
  seen.postgres = PgState::kNotInitialized;
  seen.claimed_as_seed = true;
  seen.promised_term = 1;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kNothing);
  seen.has_source = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kClone);
}

TEST(MonitorDecision, WhenBootstrapWasInterrupted_RepeatsIt) {
  Observation seen;
  seen.postgres = PgState::kStopped;
  seen.bootstrap_unfinished = true;
  seen.claimed_as_seed = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kBootstrap);
}

TEST(MonitorDecision, WhenPrimaryUnderItsOwnRule_ResumesUnlessSomethingHigherWasPromised) {
  Observation seen = Connected(false, 3, 0, "a");
  seen.promised_term = 3;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kResume);
  seen.promised_term = 4;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kDemote);
  seen.promised_term = 3;
  seen.newer_leader_elsewhere = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kDemote);
}

TEST(MonitorDecision, WhenPrimaryUnderSomebodyElsesRule_Demotes) {
  EXPECT_EQ(DecideMonitorAction(Connected(false, 3, 0, "b")), MonitorAction::kDemote);
}

TEST(MonitorDecision, WhenSeedWaitsForItsAppointment_LeavesItAlone) {
  EXPECT_EQ(DecideMonitorAction(Connected(false, 0, 1, "")), MonitorAction::kNothing);
  Observation promised = Connected(false, 0, 1, "");
  promised.promised_term = 1;
  EXPECT_EQ(DecideMonitorAction(promised), MonitorAction::kDemote);
}

TEST(MonitorDecision, WhenLeadingOrStandby_DoesNothing) {
  Observation leading = Connected(false, 2, 0, "a");
  leading.leading = true;
  EXPECT_EQ(DecideMonitorAction(leading), MonitorAction::kNothing);
  EXPECT_EQ(DecideMonitorAction(Connected(true, 2, 0, "a")), MonitorAction::kNothing);
}

TEST(MonitorDecision, WhenAStandbyReceivesNothing_LooksWhy) {
  Observation seen = Connected(true, 3, 0, "b");
  seen.stalled = true;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kFollow);
  seen.in_recovery = false;
  EXPECT_EQ(DecideMonitorAction(seen), MonitorAction::kDemote);
}

TEST(Divergence, SegmentSaidToBeGone_IsTheLastOneInTheLog) {
  EXPECT_EQ(SegmentSaidToBeGone("LOG:  started streaming WAL from primary at 0/5000000 on timeline 3\n"
                                "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment "
                                "000000030000000000000005 has already been removed\nLOG:  waiting for WAL"),
            "000000030000000000000005");
  EXPECT_EQ(SegmentSaidToBeGone("requested WAL segment 00000003 has already been removed"), "");
  EXPECT_EQ(SegmentSaidToBeGone("requested WAL segment 000000030000000000000005"), "");
  EXPECT_EQ(SegmentSaidToBeGone(""), "");
}

TEST(Divergence, WhenWrittenPastTheFork_HasDiverged) {
  const std::string history = "1\t0/3000148\tno recovery target specified\n2\t0/5000000\tno recovery target\n";
  EXPECT_FALSE(*DivergesFromHistory(history, 3, 1, "0/3000148"));
  EXPECT_TRUE(*DivergesFromHistory(history, 3, 1, "0/3000149"));
  EXPECT_FALSE(*DivergesFromHistory(history, 3, 2, "0/4000000"));
  EXPECT_FALSE(*DivergesFromHistory(history, 3, 3, "0/9000000"));
  EXPECT_TRUE(*DivergesFromHistory(history, 3, 4, "0/1"));
  EXPECT_FALSE(*DivergesFromHistory("", 1, 1, "0/9000000"));
}

}  // namespace
}  // namespace mg::multipooler
