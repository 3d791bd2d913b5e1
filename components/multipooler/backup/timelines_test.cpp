#include "components/multipooler/backup/timelines.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace mg::multipooler::backup {
namespace {

using Ways = std::vector<std::string>;

constexpr char kPromoted[] = "no recovery target specified";
constexpr char kTakenBack[] = "before 2026-11-29 10:00:00+00";

absl::Time At(int minute) { return absl::UnixEpoch() + absl::Minutes(minute); }

Ways Go(const std::vector<Timeline>& timelines, const BackupEnd& backup, const Wish& wish) {
  absl::StatusOr<Ways> ways = WaysTo(timelines, backup, wish);
  return ways.ok() ? *ways : Ways{DetailOf(ways.status()).value_or(ErrorDetail{.reason = "?"}).reason};
}

const BackupEnd kEarly = {.id = "early", .timeline = 1, .lsn = "0/3000000"};
const BackupEnd kLater = {.id = "later", .timeline = 1, .lsn = "0/7000000"};

// In minute 20 the shard went back to an earlier moment.
const std::vector<Timeline> kAfterRestore = {
    {.id = 1, .ancestors = {}},
    {.id = 2, .begun = At(20), .ancestors = {{.timeline = 1, .lsn = "0/5000000", .reason = kTakenBack}}}};

TEST(WaysTo_, MomentThatARestoreTookBack_IsOnTheTimelineOfThen) {
  EXPECT_EQ(Go(kAfterRestore, kEarly, {.time = At(19)}), (Ways{"current", "latest"}));
  EXPECT_EQ(Go(kAfterRestore, kEarly, {.time = At(21)}), (Ways{"latest"}));
  EXPECT_EQ(Go(kAfterRestore, kLater, {.time = At(19)}), (Ways{"current"}));
}

TEST(WaysTo_, BackupThatARestoreWentBackBehind_LeadsNotToThePresent) {
  EXPECT_EQ(Go(kAfterRestore, kLater, {.newest = true}), (Ways{"BACKUP_OF_ANOTHER_TIMELINE"}));
  EXPECT_EQ(Go(kAfterRestore, kLater, {.time = At(21)}), (Ways{"BACKUP_OF_ANOTHER_TIMELINE"}));
  EXPECT_EQ(Go(kAfterRestore, kEarly, {.newest = true}), (Ways{"latest"}));
  // Asked for by its name it gives what it leads to.
  EXPECT_EQ(Go(kAfterRestore, kLater, {}), (Ways{"current"}));
}

TEST(WaysTo_, ChangesOfLeader_KeepWhatWasAcknowledged) {
  // The former leader of timeline 1 wrote on, for nobody.
  std::vector<Timeline> all = {
      {.id = 1, .ancestors = {}},
      {.id = 2, .begun = At(10), .ancestors = {{.timeline = 1, .lsn = "0/5000000", .reason = kPromoted}}},
      {.id = 3,
       .begun = At(30),
       .ancestors = {{.timeline = 1, .lsn = "0/5000000", .reason = kPromoted},
                     {.timeline = 2, .lsn = "0/9000000", .reason = kTakenBack}}}};
  EXPECT_EQ(Go(all, kEarly, {.time = At(9)}), (Ways{"2", "latest"}));
  EXPECT_EQ(Go(all, kEarly, {.time = At(31)}), (Ways{"latest"}));
}

TEST(WaysTo_, BackupOfATimelineFromBeforeTheArchive_NeedsNoHistory) {
  const BackupEnd backup = {.id = "b", .timeline = 4, .lsn = "0/3000000"};
  EXPECT_EQ(Go({{.id = 1, .ancestors = {}}}, backup, {.newest = true}), (Ways{"latest"}));
  EXPECT_EQ(Go({{.id = 1, .ancestors = {}}}, backup, {.time = At(1)}), (Ways{"latest"}));
}

TEST(ReadTimelines_, BothArchives_AreRead) {
  char place[] = "/tmp/mg-timelines-XXXXXX";
  ASSERT_NE(::mkdtemp(place), nullptr);
  const std::string repository = place;
  ASSERT_EQ(ReadTimelines(repository)->size(), 1u);
  ASSERT_TRUE(MakeDirectories(repository + "/wal", 0700).ok());
  ASSERT_TRUE(MakeDirectories(repository + "/pgbackrest/archive/multigres/15-1", 0700).ok());
  ASSERT_TRUE(
      WriteFileAtomically(repository + "/wal/00000002.history", "1\t0/5000000\tno recovery target specified\n", 0600)
          .ok());
  ASSERT_TRUE(WriteFileAtomically(repository + "/wal/000000020000000000000005", "x", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(repository + "/pgbackrest/archive/multigres/15-1/0000000A.history",
                                  "1\t0/5000000\tx y\n\n2\t0/6000000\tafter 2026-11-29 10:00:00+00\n", 0600)
                  .ok());
  absl::StatusOr<std::vector<Timeline>> read = ReadTimelines(repository);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 3u);
  EXPECT_EQ((*read)[0].begun, absl::InfinitePast());
  EXPECT_EQ((*read)[1].ancestors[0].reason, kPromoted);
  EXPECT_EQ((*read)[2].id, 10);
  EXPECT_EQ((*read)[2].ancestors[1].reason, "after 2026-11-29 10:00:00+00");
  EXPECT_LT((*read)[2].begun, absl::Now() + absl::Minutes(1));
  std::filesystem::remove_all(repository);
}

}  // namespace
}  // namespace mg::multipooler::backup
