#include <gtest/gtest.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "tests/integration/pgctld_sandbox.h"
#include "tests/integration/shard_sandbox.h"

namespace mg::tests {
namespace {

class ShardTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!ShardSandbox::Possible()) {
      GTEST_SKIP() << "needs PostgreSQL and etcd";
    }
  }
};

constexpr char kRule[] =
    "SELECT decision_coordinator_term || ',' || decision_leader_subterm || ' ' || leader_id || ' ' || "
    "array_to_string(cohort_members, '+') FROM multigres.current_rule";

TEST_F(ShardTest, WhenThreeCellsStart_ALeaderServesAndItsWritesAreOnTwoNodes) {
  ShardSandbox shard(3);
  shard.Up();
  int leader = shard.WaitForLeader(1, 2);
  ASSERT_NE(leader, 0);
  EXPECT_EQ(shard.Ask(leader, kRule), absl::StrCat("1,0 zone", leader, "_p", leader, " zone1_p1+zone2_p2+zone3_p3"));
  EXPECT_EQ(shard.Ask(leader, "SHOW synchronous_standby_names"), R"(ANY 1 ("zone1_p1", "zone2_p2", "zone3_p3"))");
  EXPECT_EQ(shard.Ask(leader, "SELECT count(*) FROM multigres.rule_history WHERE decided AND event_type = 'promotion'"),
            "1");
  EXPECT_EQ(shard.Ask(leader, "CREATE TABLE t AS SELECT 1 AS i; SELECT count(*) FROM t"), "1");
  for (int cell = 1; cell <= 3; ++cell) {
    EXPECT_TRUE(Eventually([&] { return shard.Ask(cell, "SELECT count(*) FROM t") == "1"; })) << cell;
    EXPECT_EQ(shard.Record(cell).lifecycle_status().status(), clustermetadata::LIFECYCLE_ACTIVE);
    if (cell != leader) {
      EXPECT_EQ(shard.Ask(cell, "SELECT pg_is_in_recovery()"), "t");
      EXPECT_EQ(shard.Ask(cell, "SHOW primary_conninfo").find("password="), std::string::npos);
    }
  }

  // Everything ends in order, and comes back: a new term, the same data.
  shard.Down();
  for (int cell = 1; cell <= 3; ++cell) {
    EXPECT_EQ(shard.Record(cell).lifecycle_status().status(), clustermetadata::LIFECYCLE_SHUTDOWN);
    EXPECT_FALSE(shard.Record(cell).has_routing_state());
  }
  shard.Up();
  leader = shard.WaitForLeader(2, 2);
  ASSERT_NE(leader, 0);
  EXPECT_EQ(shard.Ask(leader, "SELECT count(*) FROM t"), "1");

  // The leader's PostgreSQL is killed: somebody leads in its place, and it follows.
  shard.Kill("postgres", leader);
  int next = shard.WaitForLeader(3, 2);
  ASSERT_NE(next, 0);
  EXPECT_EQ(shard.Ask(next, "INSERT INTO t VALUES (2); SELECT count(*) FROM t"), "2");

  // Its pooler alone is killed: PostgreSQL leads on, and so does the pooler when it is back.
  std::string rule = shard.Ask(next, kRule);
  shard.Kill("multipooler", next);
  shard.StartPooler(next);
  EXPECT_TRUE(Eventually([&] {
    auto record = shard.Record(next);
    return record.serving_status() == clustermetadata::SERVING && shard.Leader() == next;
  }));
  EXPECT_EQ(shard.Ask(next, "INSERT INTO t VALUES (3); SELECT count(*) FROM t"), "3");
  EXPECT_EQ(shard.Ask(next, kRule), rule);
}

TEST_F(ShardTest, WhenAFormerLeaderHasWritesThatNobodyElseHas_ItIsRewound) {
  ShardSandbox shard(3);
  shard.Up();
  int old = shard.WaitForLeader(1, 2);
  ASSERT_NE(old, 0);
  ASSERT_EQ(shard.Ask(old, "CREATE TABLE t AS SELECT 1 AS i; SELECT count(*) FROM t"), "1");
  // The others are stopped in the middle of things; what is written then is acknowledged by nobody.
  std::vector<int> others;
  for (int cell = 1; cell <= 3; ++cell) {
    if (cell != old) {
      others.push_back(cell);
      shard.Signal("multipooler", cell, SIGSTOP);
      shard.Kill("postgres", cell);
    }
  }
  ASSERT_EQ(shard.Ask(old, "SET synchronous_commit = local; INSERT INTO t VALUES (2); SELECT count(*) FROM t"), "2");
  shard.Signal("multipooler", old, SIGSTOP);
  shard.Kill("postgres", old);
  for (int cell : others) {
    shard.Signal("multipooler", cell, SIGCONT);
  }
  int leader = shard.WaitForLeader(2, 1);
  ASSERT_NE(leader, 0);
  ASSERT_NE(leader, old);
  EXPECT_EQ(shard.Ask(leader, "INSERT INTO t VALUES (3); SELECT count(*) FROM t"), "2");
  shard.Signal("multipooler", old, SIGCONT);
  EXPECT_NE(shard.WaitForLeader(2, 2), 0);
  EXPECT_TRUE(Eventually([&] { return shard.Ask(old, "SELECT string_agg(i::text, ',' ORDER BY i) FROM t") == "1,3"; }));
}

TEST_F(ShardTest, WhenPoolersAreKilledWhileTheShardIsFounded_ItIsFoundedAllTheSame) {
  ShardSandbox shard(3);
  shard.Up();
  // The seed, in the middle of initdb.
  int seed = 0;
  ASSERT_TRUE(Eventually([&] {
    for (int cell = 1; cell <= 3; ++cell) {
      if (Exists(shard.pooler_dir(cell) + "/.multigres-bootstrap-in-progress")) {
        seed = cell;
      }
    }
    return seed != 0;
  }));
  shard.Kill("multipooler", seed);
  shard.StartPooler(seed);
  // Another, in the middle of its base backup.
  int copying = 0;
  ASSERT_TRUE(Eventually(
      [&] {
        for (int cell = 1; cell <= 3; ++cell) {
          if (cell != seed && Exists(shard.pooler_dir(cell) + "/pg_data.new")) {
            copying = cell;
          }
        }
        return copying != 0;
      },
      absl::Seconds(60)));
  shard.Kill("multipooler", copying);
  shard.StartPooler(copying);
  int leader = shard.WaitForLeader(1, 2);
  ASSERT_NE(leader, 0);
  EXPECT_TRUE(Eventually(
      [&] { return shard.Ask(leader, "SELECT cardinality(cohort_members) FROM multigres.current_rule") == "3"; }));
  EXPECT_FALSE(Exists(shard.pooler_dir(seed) + "/.multigres-bootstrap-in-progress"));
}

TEST_F(ShardTest, WhenTheClaimNamesAPoolerThatHasGone_ItIsTakenOver) {
  ShardSandbox shard(3);
  shard.StartEtcd();
  clustermetadata::ShardInitClaim claim;
  claim.mutable_claimer_id()->set_component(clustermetadata::ID::MULTIPOOLER);
  claim.mutable_claimer_id()->set_cell("zone1");
  claim.mutable_claimer_id()->set_name("gone");
  *claim.add_cohort_members() = claim.claimer_id();
  clustermetadata::ShardKey key;
  key.set_database("postgres");
  key.set_table_group("default");
  key.set_shard("0-inf");
  ASSERT_TRUE(shard.topology().CreateClaim(key, claim, absl::Now() + absl::Seconds(5)).ok());
  shard.Up();
  EXPECT_NE(shard.WaitForLeader(1, 2), 0) << shard.Logs();
}

TEST_F(ShardTest, WhenThereIsOneCell_CommitsLocally) {
  ShardSandbox shard(1);
  shard.Up();
  ASSERT_EQ(shard.WaitForLeader(1, 0), 1);
  EXPECT_EQ(shard.Ask(1, "SHOW synchronous_standby_names"), "");
  EXPECT_EQ(shard.Ask(1, "CREATE TABLE t AS SELECT 1 AS i; SELECT count(*) FROM t"), "1");
  shard.Kill("postgres", 1);
  EXPECT_TRUE(Eventually([&] {  // in place: the same term
    return shard.Ask(1,
                     "SELECT (decision_coordinator_term, decision_leader_subterm)::text FROM multigres.current_rule "
                     "WHERE proposal_coordinator_term IS NULL") == "(1,1)";
  }));
  ASSERT_EQ(shard.WaitForLeader(1, 0), 1);
  EXPECT_EQ(shard.Ask(1, "SELECT count(*) FROM t"), "1");
}

}  // namespace
}  // namespace mg::tests
