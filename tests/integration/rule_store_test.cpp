#include "components/multipooler/manager/rule_store.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "components/multipooler/manager/postgres_settings.h"
#include "components/multipooler/manager/postgres_view.h"
#include "tests/integration/postgres_fixture.h"

namespace mg::multipooler {
namespace {

using consensus::MakeRuleNumber;

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

clustermetadata::ID Node(const std::string& cell, const std::string& name) {
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIPOOLER);
  id.set_cell(cell);
  id.set_name(name);
  return id;
}

clustermetadata::DurabilityPolicy AtLeastTwo() {
  clustermetadata::DurabilityPolicy policy;
  policy.set_policy_name("AT_LEAST_2");
  policy.set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  policy.set_required_count(2);
  return policy;
}

clustermetadata::ShardRule Rule(std::int64_t term, std::int64_t subterm) {
  clustermetadata::ShardRule rule;
  *rule.mutable_rule_number() = MakeRuleNumber(term, subterm);
  *rule.mutable_leader_id() = Node("zone1", "a");
  *rule.add_cohort_members() = Node("zone1", "a");
  *rule.add_cohort_members() = Node("zone2", "b");
  *rule.mutable_durability_policy() = AtLeastTwo();
  *rule.mutable_coordinator_id() = Node("zone3", "orch");
  rule.mutable_coordinator_id()->set_component(clustermetadata::ID::MULTIORCH);
  rule.mutable_creation_time()->set_seconds(1700000000);
  rule.mutable_creation_time()->set_nanos(123456000);
  return rule;
}

class RuleStoreTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { postgres_ = mg::testing::PostgresFixture::Start().release(); }
  static void TearDownTestSuite() {
    delete postgres_;
    postgres_ = nullptr;
  }
  void SetUp() override {
    if (postgres_ == nullptr) {
      GTEST_SKIP() << "no PostgreSQL on this machine";
    }
    connection_ = postgres_->Connect();
    ASSERT_NE(connection_, nullptr);
    ASSERT_TRUE(ApplySettings(*connection_, {{"synchronous_standby_names", std::nullopt}}, Soon()).ok());
    ASSERT_TRUE(connection_->Execute("DROP SCHEMA IF EXISTS multigres CASCADE", Soon()).ok());
  }
  void Create() {
    absl::Status status = CreateRuleSchema(*connection_, AtLeastTwo(), "zone1_a", Soon());
    ASSERT_TRUE(status.ok()) << status;
  }

  static mg::testing::PostgresFixture* postgres_;
  std::unique_ptr<pgsql::Connection> connection_;
};
mg::testing::PostgresFixture* RuleStoreTest::postgres_ = nullptr;

TEST_F(RuleStoreTest, AStatementThatIsRepeated_IsPreparedAndOutlivesAChangeOfItsTable) {
  ASSERT_TRUE(connection_->Execute("CREATE TEMP TABLE wide AS SELECT 1 AS a", Soon()).ok());
  auto columns = [&] {
    absl::StatusOr<pgsql::Result> result = connection_->Query("SELECT * FROM wide", {}, Soon());
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->columns() : 0;
  };
  for (int run = 0; run < 4; ++run) {
    EXPECT_EQ(columns(), 1);
  }
  auto prepared = connection_->Query("SELECT count(*) FROM pg_prepared_statements", {}, Soon());
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->Int(0, 0), 1);
  ASSERT_TRUE(connection_->Execute("ALTER TABLE wide ADD b int", Soon()).ok());
  for (int run = 0; run < 4; ++run) {
    EXPECT_EQ(columns(), 2);
  }
}

TEST_F(RuleStoreTest, WhenThereIsNoSchema_ReadSaysNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadRule(*connection_, Soon()).status()));
  auto view = ReadView(*connection_, Soon());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_FALSE(view->has_rule);
  EXPECT_FALSE(view->in_recovery);
}

TEST_F(RuleStoreTest, WhenCreated_HasTheFirstRuleAndCreatingAgainKeepsIt) {
  Create();
  Create();
  auto rule = ReadRule(*connection_, Soon());
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_EQ(consensus::ToString(rule->decision().rule_number()), "{0,1}");
  EXPECT_FALSE(rule->decision().has_leader_id());
  EXPECT_TRUE(rule->decision().cohort_members().empty());
  EXPECT_EQ(rule->decision().durability_policy().required_count(), 2);
  EXPECT_FALSE(rule->has_proposal());
  // What upstream's web page reads.
  auto shards = connection_->Execute(
      "SELECT t.name, t.type, s.shard_name FROM multigres.tablegroup t JOIN multigres.shard s ON s.tablegroup_oid = "
      "t.oid "
      "WHERE s.key_range_start IS NULL AND s.key_range_end IS NULL",
      Soon());
  ASSERT_TRUE(shards.ok()) << shards.status();
  ASSERT_EQ(shards->rows(), 1);
  EXPECT_EQ(absl::StrCat(shards->Text(0, 0), " ", shards->Text(0, 1), " ", shards->Text(0, 2)),
            "default unsharded 0-inf");
}

TEST_F(RuleStoreTest, WhenProposedAndDecided_BothPhasesAreVisible) {
  Create();
  RuleEvent event{.type = "promotion", .operation = "", .reason = "test", .accepted_members = {"zone1_a", "zone2_b"}};
  absl::Status proposed = ProposeRule(*connection_, MakeRuleNumber(0, 1), Rule(1, 0), event, Soon());
  ASSERT_TRUE(proposed.ok()) << proposed;
  auto view = ReadView(*connection_, Soon());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(consensus::ToString(view->rule.decision().rule_number()), "{0,1}");
  ASSERT_TRUE(view->rule.has_proposal());
  EXPECT_EQ(view->rule.proposal().SerializeAsString(), Rule(1, 0).SerializeAsString())
      << view->rule.proposal().DebugString();

  ASSERT_TRUE(DecideRule(*connection_, MakeRuleNumber(1, 0), Soon()).ok());
  auto rule = ReadRule(*connection_, Soon());
  ASSERT_TRUE(rule.ok());
  EXPECT_FALSE(rule->has_proposal());
  EXPECT_EQ(rule->decision().SerializeAsString(), Rule(1, 0).SerializeAsString()) << rule->decision().DebugString();
  auto history = connection_->Execute(
      "SELECT event_type, decided, accepted_members, wal_position IS NOT NULL FROM multigres.rule_history", Soon());
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_EQ(history->rows(), 1);
  EXPECT_EQ(history->Text(0, 0), "promotion");
  EXPECT_TRUE(history->Bool(0, 1));
  EXPECT_EQ(history->TextArray(0, 2).size(), 2u);
  EXPECT_TRUE(history->Bool(0, 3));
}

TEST_F(RuleStoreTest, WhenTheDecisionIsAnother_ProposalIsAConflict) {
  Create();
  RuleEvent event{.type = "promotion", .operation = "", .reason = "test", .accepted_members = {}};
  EXPECT_TRUE(absl::IsAborted(ProposeRule(*connection_, MakeRuleNumber(1, 0), Rule(2, 0), event, Soon())));
  ASSERT_TRUE(ProposeRule(*connection_, MakeRuleNumber(0, 1), Rule(1, 0), event, Soon()).ok());
  EXPECT_TRUE(absl::IsAborted(ProposeRule(*connection_, MakeRuleNumber(0, 1), Rule(2, 0), event, Soon())));
  EXPECT_TRUE(absl::IsAborted(DecideRule(*connection_, MakeRuleNumber(2, 0), Soon())));
}

TEST_F(RuleStoreTest, WhenSomebodyHoldsTheRow_FailsAtOnce) {
  Create();
  auto other = postgres_->Connect();
  ASSERT_TRUE(other->Execute("BEGIN", Soon()).ok());
  ASSERT_TRUE(other->Execute("SELECT * FROM multigres.current_rule FOR UPDATE", Soon()).ok());
  RuleEvent event{.type = "promotion", .operation = "", .reason = "test", .accepted_members = {}};
  absl::Time begin = absl::Now();
  EXPECT_TRUE(absl::IsAborted(ProposeRule(*connection_, MakeRuleNumber(0, 1), Rule(1, 0), event, Soon())));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

TEST_F(RuleStoreTest, WhenTheSynchronousWaitIsCancelled_IsNotDurable) {
  Create();
  ASSERT_TRUE(ApplySettings(*connection_, {{"synchronous_standby_names", "ANY 1 (\"zone2_b\")"}}, Soon()).ok());
  ASSERT_TRUE(WaitForCheckpointer(*connection_, Soon()).ok());
  auto other = postgres_->Connect();
  std::thread canceller([&] {
    for (absl::Time end = Soon(); absl::Now() < end;) {
      auto waiting = other->Execute(
          absl::StrCat("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = ",
                       connection_->backend_pid()),
          Soon());
      if (!waiting.ok() || waiting->rows() == 1) {
        return;
      }
    }
  });
  RuleEvent event{.type = "promotion", .operation = "", .reason = "test", .accepted_members = {}};
  absl::Status status = ProposeRule(*connection_, MakeRuleNumber(0, 1), Rule(1, 0), event, Soon());
  canceller.join();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  auto rule = ReadRule(*connection_, Soon());
  ASSERT_TRUE(rule.ok());
  EXPECT_TRUE(rule->has_proposal()) << "it is committed locally all the same";
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      WaitForAcknowledgement(*connection_, Rule(1, 0), Node("zone1", "a"), "0/1", absl::Now())));
}

TEST_F(RuleStoreTest, WhenTheDeadlinePassesInTheSynchronousWait_ConnectionIsGivenUpAndTheWaitEnds) {
  Create();
  ASSERT_TRUE(ApplySettings(*connection_, {{"synchronous_standby_names", "ANY 1 (\"zone2_b\")"}}, Soon()).ok());
  ASSERT_TRUE(WaitForCheckpointer(*connection_, Soon()).ok());
  auto held = postgres_->Connect();
  RuleEvent event{.type = "promotion", .operation = "", .reason = "test", .accepted_members = {}};
  absl::Status status =
      ProposeRule(*held, MakeRuleNumber(0, 1), Rule(1, 0), event, absl::Now() + absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_FALSE(held->usable());
  for (absl::Time end = Soon();;) {
    auto rows = connection_->Execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", Soon());
    ASSERT_TRUE(rows.ok());
    if (rows->rows() == 0) {
      break;
    }
    ASSERT_LT(absl::Now(), end) << "the backend still holds the row";
  }
}

}  // namespace
}  // namespace mg::multipooler
