#include "cli/failovers/failovers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>

namespace mg::cli {
namespace {

namespace agent = multigres::agent::v1;

class FailoversTest : public testing::Test {
 protected:
  void Log(int milliseconds, const std::string& component, const std::string& message,
           const std::map<std::string, std::string>& fields = {}) {
    agent::LogRecord& record = records_.emplace_back();
    record.mutable_time()->set_seconds(1700000000 + milliseconds / 1000);
    record.mutable_time()->set_nanos(milliseconds % 1000 * 1000000);
    record.set_component(component);
    record.set_message(message);
    for (const auto& [name, value] : fields) {
      (*record.mutable_fields()->mutable_fields())[name].set_string_value(value);
    }
  }

  void Crash(int at) {
    Log(at, "multipooler/zone1", "connection to PostgreSQL lost");
    Log(at + 10, "multiorch/zone2", "decision", {{"why", "no leader is alive under rule {6,0}"}});
    Log(at + 20, "multiorch/zone2", "appointment begins",
        {{"term", "7"},
         {"leader", "multipooler-zone1-aaaa"},
         {"shard", "postgres/default/0-inf"},
         {"why", "no leader is alive under rule {6,0}"}});
    Log(at + 70, "multiorch/zone2", "recruited", {{"pooler", "multipooler-zone2-bbbb"}, {"lsn", "0/5000"}});
    Log(at + 90, "multiorch/zone2", "promoting", {{"leader", "multipooler-zone2-bbbb"}, {"recruited", "2"}});
    Log(at + 200, "multipooler/zone2", "PostgreSQL is writable, the rule is not yet");
    Log(at + 300, "multipooler/zone2", "leader", {{"rule", "{7,0}"}});
    Log(at + 310, "multigateway/zone3", "primary changed", {{"pooler", "multipooler-zone2-bbbb"}, {"rule", "{7,0}"}});
    Log(at + 320, "multigateway/zone1", "primary changed", {{"pooler", "multipooler-zone2-bbbb"}, {"rule", "{7,0}"}});
    Log(at + 900, "multipooler/zone1", "streams from the primary");
  }

  std::vector<agent::LogRecord> records_;
};

TEST_F(FailoversTest, ChangesOfTwoDatabases_AreNotMixed) {
  Log(900, "multiorch/zone1", "health stream lost",
      {{"shard", "shop/default/0-inf"}, {"pooler", "multipooler-zone1-cccc"}});
  Crash(1000);
  Log(1005, "multipooler/zone1/shop", "hands the lead over");
  Log(1030, "multiorch/zone1", "appointment begins",
      {{"shard", "shop/default/0-inf"}, {"term", "3"}, {"leader", "multipooler-zone1-cccc"}, {"why", "handed over"}});
  Log(1200, "multipooler/zone3/shop", "leader", {{"rule", "{3,0}"}});
  for (int i = 0; i < 2; ++i) {
    Log(1210 + i, "multigateway/zone1", "primary changed",
        {{"database", "shop"}, {"pooler", "multipooler-zone3-dddd"}, {"rule", "{3,0}"}});
  }
  Log(1300, "multipooler/zone1/shop", "streams from the primary");
  std::stable_sort(records_.begin(), records_.end(), [](const agent::LogRecord& a, const agent::LogRecord& b) {
    return std::pair(a.time().seconds(), a.time().nanos()) < std::pair(b.time().seconds(), b.time().nanos());
  });
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].old_primary(), "multipooler/zone1");
  EXPECT_EQ(told[0].database(), "postgres");
  EXPECT_NEAR(told[0].seconds_to_rejoin(), 0.9, 1e-6);
  EXPECT_EQ(told[1].database(), "shop");
  EXPECT_TRUE(told[1].planned());
  EXPECT_EQ(told[1].old_primary(), "multipooler/zone1/shop");
  EXPECT_EQ(told[1].new_primary(), "multipooler/zone3/shop");
  EXPECT_NEAR(told[1].seconds_to_rejoin(), 0.295, 1e-6) << "counted from the hand-over, not from a stream lost before";
  EXPECT_EQ(std::count_if(told[1].steps().begin(), told[1].steps().end(),
                          [](const auto& step) { return step.type() == "failover-gateway-told"; }),
            1)
      << "once for each gateway";
}

TEST_F(FailoversTest, WhenAPrimaryCrashes_TheStoryIsToldInOrder) {
  Log(0, "multipooler/zone3", "connection to PostgreSQL lost");  // of another node: no cause
  Crash(1000);
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].old_primary(), "multipooler/zone1");
  EXPECT_EQ(told[0].new_primary(), "multipooler/zone2");
  EXPECT_EQ(told[0].term(), 7);
  EXPECT_FALSE(told[0].planned());
  EXPECT_EQ(told[0].detected_at(), "2023-11-14T22:13:21+00:00");
  EXPECT_NEAR(told[0].seconds_to_rule(), 0.3, 1e-6);
  EXPECT_NEAR(told[0].seconds_to_first_write(), 0.31, 1e-6);
  EXPECT_NEAR(told[0].seconds_to_rejoin(), 0.9, 1e-6);
  std::vector<std::string> types;
  for (const auto& step : told[0].steps()) {
    types.push_back(step.type());
  }
  EXPECT_EQ(types,
            (std::vector<std::string>{"failover-detected", "failover-detected", "failover-begun", "failover-recruited",
                                      "failover-promoting", "failover-promoted", "failover-rule-written",
                                      "failover-gateway-told", "failover-gateway-told", "failover-rejoined"}));
  auto events = EventsOf(told, "default");
  ASSERT_EQ(events.size(), 10u);
  EXPECT_EQ(events[9].component(), "multipooler/zone1");
  EXPECT_EQ(events[9].duration().nanos(), 900000000);
}

TEST_F(FailoversTest, WhenAnotherOrchTakesOver_ItIsOneStoryWithTwoBeginnings) {
  Log(0, "multiorch/zone1", "appointment begins", {{"term", "7"}, {"leader", "multipooler-zone1-aaaa"}});
  Log(500, "multiorch/zone1", "action failed", {{"error", "UNAVAILABLE: gone"}});
  Log(1500, "multiorch/zone2", "appointment begins", {{"term", "8"}, {"leader", "multipooler-zone1-aaaa"}});
  Log(1600, "multipooler/zone3", "leader", {{"rule", "{7,0}"}});  // of the term that was given up
  Log(1700, "multipooler/zone2", "leader", {{"rule", "{8,0}"}});
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].new_primary(), "multipooler/zone2");
  EXPECT_NEAR(told[0].seconds_to_rule(), 1.7, 1e-6);
}

TEST_F(FailoversTest, WhenTheOldPrimaryIsRewoundAgainLater_ThatIsAnotherStory) {
  Crash(1000);
  Log(60000, "multipooler/zone1", "log has diverged: rewinding");
  Log(61000, "multipooler/zone1", "rewound, follows");
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].steps().rbegin()->type(), "failover-rejoined");
}

TEST_F(FailoversTest, WhenAnotherFailoverFollows_EachOldPrimaryIsToldWithItsOwn) {
  Log(0, "multiorch/zone1", "appointment begins", {{"term", "7"}, {"leader", "multipooler-zone1-aaaa"}});
  Log(100, "multipooler/zone2", "leader", {{"rule", "{7,0}"}});
  Log(200, "multiorch/zone1", "appointment begins", {{"term", "8"}, {"leader", "multipooler-zone2-bbbb"}});
  Log(300, "multipooler/zone3", "leader", {{"rule", "{8,0}"}});
  Log(400, "multipooler/zone1", "log has diverged: rewinding");
  Log(500, "multipooler/zone1", "rewound, follows");
  Log(600, "multipooler/zone1", "streams from the primary");
  Log(700, "multipooler/zone2", "streams from the primary");
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_NEAR(told[0].seconds_to_rejoin(), 0.6, 1e-6);
  EXPECT_NEAR(told[1].seconds_to_rejoin(), 0.5, 1e-6);
  EXPECT_EQ(told[1].steps_size(), 3);
}

TEST_F(FailoversTest, WhenThePrimaryGoesOnItself_ThatIsAStoryOfItsOwn) {
  Log(0, "multipooler/zone1", "leader", {{"rule", "{6,0}"}});
  Log(1000, "multiorch/zone2", "health stream lost",
      {{"shard", "postgres/default/0-inf"}, {"pooler", "multipooler-zone1-aaaa"}});
  Log(1120, "multipooler/zone1", "leads on, under its own rule", {{"rule", "{6,0}"}});
  Log(1130, "multigateway/zone3", "primary changed", {{"pooler", "multipooler-zone1-aaaa"}, {"rule", "{6,0}"}});
  Crash(9000);
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].database(), "postgres");
  EXPECT_EQ(told[0].old_primary(), "multipooler/zone1");
  EXPECT_EQ(told[0].new_primary(), "multipooler/zone1");
  EXPECT_NEAR(told[0].seconds_to_rule(), 0.12, 1e-6);
  EXPECT_NEAR(told[0].seconds_to_first_write(), 0.13, 1e-6);
  EXPECT_EQ(told[0].steps(1).type(), "failover-in-place");
  EXPECT_NEAR(told[1].seconds_to_rule(), 0.3, 1e-6) << "what had healed is no part of it";
}

TEST_F(FailoversTest, WhatAnOrchHearsAgain_IsNoPartOfTheNextStory) {
  Log(0, "multiorch/zone3", "health stream lost", {{"pooler", "multipooler-zone1-aaaa"}});
  Log(100, "multiorch/zone2", "health stream lost", {{"pooler", "multipooler-zone1-aaaa"}});
  Log(500, "multiorch/zone3", "health stream up again", {{"pooler", "multipooler-zone1-aaaa"}});
  Log(600, "multiorch/zone2", "health stream up again", {{"pooler", "multipooler-zone1-aaaa"}});
  Crash(9000);
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NEAR(told[0].seconds_to_rule(), 0.3, 1e-6);
}

TEST_F(FailoversTest, WhenTheQuorumIsLost_ItIsToldUntilItIsBack) {
  Log(0, "multipooler/zone1", "leader", {{"rule", "{6,0}"}});
  Log(1000, "multipooler/zone1", "no quorum confirms this leader's log: reads end too");
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].new_primary(), "");
  EXPECT_FALSE(told[0].has_seconds_to_rule());
  EXPECT_NE(told[0].why().find("nothing is read or written"), std::string::npos);
  Log(200000, "multipooler/zone1", "a quorum confirms this leader's log again, or it leads no more");
  told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].new_primary(), "multipooler/zone1");
  EXPECT_NEAR(told[0].seconds_to_rule(), 199, 1e-6);
}

TEST_F(FailoversTest, WhenNobodyCanBeAppointedAtFirst_ThatIsToldToo) {
  Log(0, "multiorch/zone2", "decision",
      {{"why", "no leader is alive under rule {6,0}: it is not this orch's turn yet"}});
  Log(100, "multiorch/zone2", "decision", {{"why", "no leader is alive, and none can be appointed: only 1 of 3"}});
  Crash(90000);
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].steps(0).type(), "failover-blocked");
  EXPECT_NEAR(told[0].seconds_to_rule(), 90.2, 1e-6);
}

TEST_F(FailoversTest, WhenAnOrchIsLate_NoStoryBegins) {
  Crash(1000);
  Log(3000, "multiorch/zone1", "appointment begins", {{"term", "7"}, {"leader", "multipooler-zone1-aaaa"}});
  Log(3100, "multiorch/zone1", "action failed", {{"error", "FAILED_PRECONDITION: nobody was recruited"}});
  EXPECT_EQ(TellFailovers(records_).size(), 1u);
}

TEST_F(FailoversTest, WhenNothingCameOfIt_NobodyLeads) {
  Log(0, "multiorch/zone1", "appointment begins", {{"term", "7"}, {"leader", "multipooler-zone1-aaaa"}});
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].new_primary(), "");
  EXPECT_FALSE(told[0].has_seconds_to_rule());
  EXPECT_NE(FailoverText(told[0]).find("nobody yet"), std::string::npos);
}

TEST_F(FailoversTest, WhenThePrimaryHandsOver_ItIsPlanned) {
  Log(0, "multipooler/zone1", "hands the lead over");
  Log(50, "multiorch/zone1", "appointment begins", {{"term", "6"}, {"leader", "multipooler-zone1-aaaa"}});
  Log(150, "multipooler/zone2", "leader", {{"rule", "{6,0}"}});
  Crash(600000);
  auto told = TellFailovers(records_);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[0].planned());
  EXPECT_NEAR(told[0].seconds_to_rule(), 0.15, 1e-6);
  EXPECT_FALSE(told[1].planned());
}

}  // namespace
}  // namespace mg::cli
