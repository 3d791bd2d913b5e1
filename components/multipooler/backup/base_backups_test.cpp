#include "components/multipooler/backup/base_backups.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "components/multipooler/backup/repository.h"
#include "components/multipooler/backup/restore_settings.h"

namespace mg::multipooler::backup {
namespace {

constexpr char kLabel[] =
    "START WAL LOCATION: 0/9000028 (file 000000010000000000000009)\nCHECKPOINT LOCATION: 0/9000060\n"
    "BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-01-05 09:30:11 UTC\nLABEL: x\nSTART TIMELINE: 1\n";

std::string Manifest(int files) {
  std::string text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n";
  for (int i = 0; i < files; ++i) {
    absl::StrAppend(&text, "{ \"Path\": \"base/1/", i, "\", \"Size\": 8192 },\n");
  }
  return text +
         "],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/9000028\", \"End-LSN\": \"0/9000138\" }\n],\n"
         "\"Manifest-Checksum\": \"ab\"}\n";
}

TEST(CopyFacts, AreReadFromLabelAndManifest) {
  auto facts = ReadCopyFacts(kLabel, Manifest(1000));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->start_lsn, "0/9000028");
  EXPECT_EQ(facts->first_segment, "000000010000000000000009");
  EXPECT_EQ(facts->stop_lsn, "0/9000138");
  EXPECT_EQ(facts->timeline, 1);
}

TEST(CopyFacts, GarbageIsDataLoss) {
  EXPECT_EQ(ReadCopyFacts("", Manifest(1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadCopyFacts(kLabel, "{}").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadCopyFacts(std::string(100, '\0'), std::string(10000, '\xff')).status().code(),
            absl::StatusCode::kDataLoss);
}

class RepositoryTest : public testing::Test {
 protected:
  RepositoryTest() {
    std::string pattern = testing::TempDir() + "repository-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    shard_.set_database("shop");
    shard_.set_table_group("default");
    shard_.set_shard("0-inf");
    base_ = directory_ + "/shop/default/0-inf/base/";
  }
  ~RepositoryTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  void Put(const std::string& id, const std::string& json) {
    ASSERT_TRUE(MakeDirectories(base_ + id + "/data", 0700).ok());
    ASSERT_TRUE(WriteFileAtomically(base_ + id + "/data/PG_VERSION", "15\n", 0600).ok());
    ASSERT_TRUE(WriteFileAtomically(base_ + id + "/backup.json", json, 0600).ok());
  }

  std::string directory_, base_;
  clustermetadata::ShardKey shard_;
};

TEST_F(RepositoryTest, AnEmptyOneHasNoBackups) {
  Repository repository(directory_, shard_, {});
  auto all = repository.List(absl::InfiniteFuture());
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(all->empty());
  EXPECT_TRUE(absl::IsNotFound(repository.Find("", absl::InfiniteFuture()).status()));
}

TEST_F(RepositoryTest, TornDescriptionsAreIncomplete_AndNeverChosen) {
  Put("20260105-093011B", R"({"status":"COMPLETE","type":"full","jobId":"j"})");
  Put("20260106-093011B", R"({"status":"COMP)");
  ASSERT_TRUE(MakeDirectories(base_ + ".part-20260107-093011B/data", 0700).ok());
  Repository repository(directory_, shard_, {});
  auto all = repository.List(absl::InfiniteFuture());
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].backup_id(), "20260106-093011B");
  EXPECT_EQ((*all)[0].status(), multipoolermanagerdata::BackupMetadata::INCOMPLETE);
  auto newest = repository.Find("", absl::InfiniteFuture());
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->backup_id(), "20260105-093011B");
  absl::Status unknown = repository.Find("20260106-093011B", absl::InfiniteFuture()).status();
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(DetailOf(unknown).value_or(ErrorDetail{}).reason, "UNKNOWN_BACKUP");
}

TEST_F(RepositoryTest, OverridesOfAnExpiryAreChecked) {
  Repository repository(directory_, shard_, {});
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"repo1_retention_full", "0"}, {"repo1_retention_fulll", "3"}, {"repo1_retention_full ", "3"}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(repository.Expire({{key, value}}, absl::InfiniteFuture(), nullptr).status()))
        << key << "=" << value;
  }
}

TEST_F(RepositoryTest, RestoredSettingsLoseTheCopiedRole) {
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/postgresql.auto.conf",
                                  "primary_conninfo = 'x'\nsynchronous_standby_names = 'ANY 1 (a)'\nwork_mem = '1MB'\n"
                                  "restore_command = 'old'\n",
                                  0600)
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/standby.signal", "", 0600).ok());
  RestoreRequest request{.target_time = absl::FromUnixSeconds(0), .directory = directory_};
  ASSERT_TRUE(PrepareRecovery(request, "cp 'it''s'", "").ok());
  EXPECT_EQ(ReadFile(directory_ + "/postgresql.auto.conf").value_or(""),
            "work_mem = '1MB'\nrestore_command = 'cp ''it''''s'''\nrecovery_target_timeline = 'latest'\n"
            "recovery_target_time = '1970-01-01 00:00:00.000000+00'\n"
            "recovery_target_inclusive = 'true'\nrecovery_target_action = 'promote'\n");
  EXPECT_TRUE(Exists(directory_ + "/recovery.signal"));
  EXPECT_FALSE(Exists(directory_ + "/standby.signal"));
}

}  // namespace
}  // namespace mg::multipooler::backup
