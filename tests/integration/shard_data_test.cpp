// Data directories that are of no use any more, while the shard goes on.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "tests/integration/pgctld_sandbox.h"
#include "tests/integration/shard_sandbox.h"

namespace mg::tests {
namespace {

class ShardDataTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!ShardSandbox::Possible()) {
      GTEST_SKIP() << "needs PostgreSQL and etcd";
    }
  }
};

std::string DataOf(const ShardSandbox& shard, int cell) { return shard.pooler_dir(cell) + "/pg_data"; }

void RemoveLog(const std::string& data) {
  for (const auto& entry : std::filesystem::directory_iterator(data + "/pg_wal")) {
    if (entry.is_regular_file()) {
      std::filesystem::remove(entry.path());
    }
  }
}

void Garble(const std::string& file) { std::ofstream(file, std::ios::trunc) << std::string(8192, 'x'); }

/// PostgreSQL of the cell dies, and its data is damaged before it can start again: its pooler sleeps meanwhile.
void Damage(ShardSandbox& shard, int cell, const std::function<void(const std::string&)>& how) {
  shard.Signal("multipooler", cell, SIGSTOP);
  shard.Kill("postgres", cell);
  how(DataOf(shard, cell));
  shard.Signal("multipooler", cell, SIGCONT);
}

/// It has a copy that streams, with all rows, and nothing is left of the old data.
void ExpectReplaced(ShardSandbox& shard, int cell, const std::string& rows) {
  EXPECT_TRUE(Eventually([&] { return shard.Ask(cell, "SELECT count(*) FROM t") == rows; }, absl::Seconds(40)))
      << cell << ": " << shard.Ask(cell, "SELECT count(*) FROM t");
  EXPECT_TRUE(Eventually([&] { return shard.Ask(cell, "SELECT status FROM pg_stat_wal_receiver") == "streaming"; }));
  EXPECT_TRUE(Eventually([&] { return !Exists(DataOf(shard, cell) + ".aside"); }));
}

TEST_F(ShardDataTest, WhenTheFormerLeadersDataDoesNotStart_ItGetsACopyOfTheNewOnes) {
  ShardSandbox shard(3);
  shard.Up();
  int old = shard.WaitForLeader(1, 2);
  ASSERT_NE(old, 0);
  ASSERT_EQ(shard.Ask(old, "CREATE TABLE t AS SELECT 1 AS i; SELECT count(*) FROM t"), "1");
  Damage(shard, old, RemoveLog);
  int leader = shard.WaitForLeader(2, 2);
  ASSERT_NE(leader, 0) << "with both standbys";
  ASSERT_NE(leader, old);
  ExpectReplaced(shard, old, "1");
  EXPECT_TRUE(Exists(shard.pooler_dir(old) + "/consensus_promises.json"));

  // Other damage, at standbys.
  int rows = 1;
  int standby = 6 - leader - old;
  const std::vector<std::function<void(const std::string&)>> damages = {
      [](const std::string& data) { Garble(data + "/global/pg_control"); },
      [](const std::string& data) { std::filesystem::remove(data + "/postgresql.conf"); },
      [](const std::string& data) { std::filesystem::remove_all(data + "/pg_xact"); },
  };
  for (const auto& damage : damages) {
    Damage(shard, standby, damage);
    ASSERT_EQ(shard.Ask(leader, "INSERT INTO t VALUES (2); SELECT count(*) FROM t"), absl::StrCat(++rows));
    ExpectReplaced(shard, standby, absl::StrCat(rows));
    std::swap(standby, old);
  }
  EXPECT_EQ(shard.Leader(), leader) << "none of it was a reason for another leader";
}

TEST_F(ShardDataTest, WhenNobodyLeads_DataIsNotReplaced) {
  ShardSandbox shard(3);
  shard.Up();
  int leader = shard.WaitForLeader(1, 2);
  ASSERT_NE(leader, 0);
  ASSERT_EQ(shard.Ask(leader, "CREATE TABLE t AS SELECT 1 AS i; SELECT count(*) FROM t"), "1");
  int standby = leader == 1 ? 2 : 1;
  int other = 6 - leader - standby;
  shard.Stop("multipooler", leader);  // so the damaged one may be needed
  shard.Stop("multipooler", other);
  Damage(shard, standby, [](const std::string& data) { Garble(data + "/global/pg_control"); });
  std::set<std::string> failures;  // each with PostgreSQL's own lines, so that no two are the same
  EXPECT_TRUE(Eventually([&] {
    std::string reason = shard.Record(standby).lifecycle_status().reason();
    if (absl::StrContains(reason, "ended while it started")) {
      failures.insert(reason);
    }
    return failures.size() > 4;  // more than it needs to be given up
  })) << shard.Record(standby).lifecycle_status().reason();
  EXPECT_FALSE(Exists(DataOf(shard, standby) + ".aside"));
  EXPECT_FALSE(Exists(DataOf(shard, standby) + ".new"));
  shard.StartPooler(leader);
  shard.StartPooler(other);
  ExpectReplaced(shard, standby, "1");
}

}  // namespace
}  // namespace mg::tests
