#include "agentd/provisioners/local/replication.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace mg::local {
namespace {

namespace data = multipoolermanagerdata;

data::StatusResponse Primary(const std::string& lsn) {
  data::StatusResponse response;
  response.mutable_status()->set_postgres_status(data::POSTGRES_STATUS_PRIMARY);
  response.mutable_status()->mutable_primary_status()->set_lsn(lsn);
  return response;
}

data::StatusResponse Standby(const std::string& lsn, const std::string& receiver = "streaming") {
  data::StatusResponse response;
  response.mutable_status()->set_postgres_status(data::POSTGRES_STATUS_STANDBY);
  response.mutable_status()->mutable_replication_status()->set_last_receive_lsn(lsn);
  response.mutable_status()->mutable_replication_status()->set_wal_receiver_status(receiver);
  return response;
}

TEST(JudgeReplication_, WithOneLeaderAndStreamingStandbys_HasNoProblem) {
  PoolerAnswers answers;
  answers.emplace("zone1", Standby("0/3000000"));
  answers.emplace("zone2", Primary("0/3000100"));
  answers.emplace("zone3", Standby("0/3000200"));
  ReplicationState state = JudgeReplication(answers);
  EXPECT_EQ(state.problem, "");
  EXPECT_EQ(state.leader_cell, "zone2");
  EXPECT_EQ(state.summary, "postgres/zone2 leads, 2 stream");
  EXPECT_EQ(state.members.at("zone1").lag_bytes, 0x100);
  EXPECT_EQ(state.members.at("zone3").lag_bytes, 0) << "asked later than the leader, not ahead of it";
  EXPECT_FALSE(state.members.at("zone2").lag_bytes);
}

TEST(JudgeReplication_, WithoutALeader_BlamesTheOrch) {
  PoolerAnswers answers;
  answers.emplace("zone1", Standby("0/3000000", ""));
  answers.emplace("zone2", Standby("0/3000000", ""));
  ReplicationState state = JudgeReplication(answers);
  EXPECT_EQ(state.component, "multiorch/zone1");
  EXPECT_EQ(state.problem, "has not appointed a leader yet");
  EXPECT_EQ(state.members.at("zone1").role, "standby");
}

TEST(JudgeReplication_, WhenAStandbyDoesNotStream_NamesIt) {
  PoolerAnswers answers;
  answers.emplace("zone1", Primary("0/3000000"));
  answers.emplace("zone2", Standby("0/2000000", "stopped"));
  ReplicationState state = JudgeReplication(answers);
  EXPECT_EQ(state.component, "postgres/zone2");
  EXPECT_EQ(state.problem, "does not stream from postgres/zone1");
}

TEST(JudgeReplication_, WhenAPoolerIsAway_NamesIt) {
  PoolerAnswers answers;
  answers.emplace("zone1", Primary("0/3000000"));
  answers.emplace("zone2", absl::UnavailableError("refused"));
  ReplicationState state = JudgeReplication(answers);
  EXPECT_EQ(state.component, "multipooler/zone2");
  EXPECT_EQ(state.problem, "does not answer: refused");
  EXPECT_EQ(state.leader_cell, "zone1");
}

TEST(JudgeReplication_, WithTwoLeaders_IsAProblem) {
  PoolerAnswers answers;
  answers.emplace("zone1", Primary("0/3000000"));
  answers.emplace("zone2", Primary("0/3000000"));
  EXPECT_FALSE(JudgeReplication(answers).problem.empty());
}

TEST(JudgeReplication_, OfTwoLeaders_TheOneOfTheNewerRuleLeads) {
  auto under = [](std::int64_t term) {
    data::StatusResponse response = Primary("0/3000000");
    response.mutable_consensus_status()
        ->mutable_current_position()
        ->mutable_position()
        ->mutable_decision()
        ->mutable_rule_number()
        ->set_coordinator_term(term);
    return response;
  };
  for (bool newer_first : {false, true}) {
    PoolerAnswers answers;
    answers.emplace("zone1", under(newer_first ? 3 : 2));
    answers.emplace("zone2", under(newer_first ? 2 : 3));
    ReplicationState state = JudgeReplication(answers);
    EXPECT_EQ(state.leader_cell, newer_first ? "zone1" : "zone2");
    EXPECT_EQ(state.members.at(newer_first ? "zone2" : "zone1").role, "unknown");
    EXPECT_EQ(state.problem, absl::StrCat("does not stream from postgres/", state.leader_cell));
  }
}

TEST(ParseLsn_, ReadsBothHalves) {
  EXPECT_EQ(ParseLsn("16/B374D848"), 0x16B374D848u);
  EXPECT_EQ(ParseLsn("0/0"), 0u);
  EXPECT_FALSE(ParseLsn(""));
  EXPECT_FALSE(ParseLsn("12"));
  EXPECT_FALSE(ParseLsn("x/y"));
}

}  // namespace
}  // namespace mg::local
