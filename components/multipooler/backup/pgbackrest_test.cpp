#include "components/multipooler/backup/pgbackrest.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "common/fs/fs.h"

namespace mg::multipooler::backup {
namespace {

TEST(PgBackRestInfo, IsReadNewestFirst) {
  auto all = ParseInfo(R"([{"name":"multigres","backup":[
    {"label":"20260105-093011F","type":"full","error":false,"lsn":{"start":"0/2000028","stop":"0/2000138"},
     "info":{"size":31000000,"repository":{"size":4000000}},"timestamp":{"start":1767605411,"stop":1767605420},
     "annotation":{"job_id":"j1","table_group":"default","shard":"0-inf","multipooler_id":"p1","pg_version":"15",
                   "pooler_type":"ROUTING_ROLE_REPLICA"}},
    {"label":"20260105-093011F_20260106-093011I","type":"incr","error":true}]}])");
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].status(), multipoolermanagerdata::BackupMetadata::INCOMPLETE);
  const auto& full = (*all)[1];
  EXPECT_EQ(full.backup_id(), "20260105-093011F");
  EXPECT_EQ(full.stop_lsn(), "0/2000138");
  EXPECT_EQ(full.backup_size_bytes(), 4000000u);
  EXPECT_EQ(full.stop_timestamp().seconds(), 1767605420);
  EXPECT_EQ(full.job_id(), "j1");
  EXPECT_EQ(full.routing_role(), clustermetadata::ROUTING_ROLE_REPLICA);
}

TEST(PgBackRestInfo, GarbageIsDataLoss) {
  for (const char* text : {"", "{}", "[", "null", "[{\"backup\":"}) {
    EXPECT_EQ(ParseInfo(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
  EXPECT_TRUE(ParseInfo(R"([{"backup":"x"},7])").ok());
}

TEST(PgBackRestVerify, DamageIsAnErrorThoughTheProgramEndsWell) {
  const std::string head = "2026-11-29 07:37:26.070 P00   INFO: verify command begin 2.45: --stanza=multigres\n";
  EXPECT_TRUE(CheckVerified(head + "P00   INFO: stanza: multigres\n              status: ok\n").ok());
  EXPECT_TRUE(CheckVerified("").ok());
  absl::Status damaged = CheckVerified(
      head +
      "2026-11-29 07:37:26.840 P01   INFO: invalid checksum '20261129-073338F/pg_data/base/5/2838.gz'\n"
      "2026-11-29 07:37:27.009 P00   INFO: stanza: multigres\n                              status: error\n"
      "          backup: 20261129-073338F, status: invalid, total files checked: 1002, total valid files: 1001\n");
  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(damaged.message(),
            "the repository is damaged: backup 20261129-073338F: invalid checksum "
            "'20261129-073338F/pg_data/base/5/2838.gz'");
  absl::Status missing = CheckVerified(
      "P01   INFO: file missing '20261129-115845F/pg_data/base/5/2836_fsm.gz'\n"
      "P00   INFO: stanza: multigres\n     status: error\n"
      "     backup: 20261129-115845F, status: invalid, total files checked: 1001, total valid files: 1000\n"
      "       missing: 1\n     backup: 20261129-115846F, status: valid\n");
  EXPECT_EQ(missing.message(),
            "the repository is damaged: backup 20261129-115845F: file missing "
            "'20261129-115845F/pg_data/base/5/2836_fsm.gz'");
}

TEST(UnreadableBackups_, AreKnownByTheirDirectories) {
  char place[] = "/tmp/mg-unreadable-XXXXXX";
  ASSERT_NE(::mkdtemp(place), nullptr);
  const std::string repository = place;
  EXPECT_TRUE(UnreadableBackups(repository).empty());
  for (const char* name : {"20261129-071953F", "20261129-071953F_20261129-080000I", "backup.history"}) {
    ASSERT_TRUE(MakeDirectories(repository + "/pgbackrest/backup/multigres/" + name, 0700).ok());
  }
  std::vector<multipoolermanagerdata::BackupMetadata> found = UnreadableBackups(repository);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].type(), "incr");
  EXPECT_EQ(found[1].backup_id(), "20261129-071953F");
  EXPECT_EQ(found[1].status(), multipoolermanagerdata::BackupMetadata::UNKNOWN);
  EXPECT_TRUE(RemoveTree(repository).ok());
}

}  // namespace
}  // namespace mg::multipooler::backup
