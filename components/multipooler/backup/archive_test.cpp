#include "components/multipooler/backup/archive.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"

namespace mg::multipooler::backup {
namespace {

class ArchiveTest : public testing::Test {
 protected:
  ArchiveTest() {
    std::string pattern = testing::TempDir() + "archive-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    // A place that a careless command would trip over.
    repository_ = directory_ + "/it's 100% here";
    data_ = directory_ + "/data";
    EXPECT_TRUE(MakeDirectories(repository_, 0700).ok());
    EXPECT_TRUE(MakeDirectories(data_, 0700).ok());
    EXPECT_TRUE(WriteFileAtomically(data_ + "/segment", "wal", 0600).ok());
  }
  ~ArchiveTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  // As PostgreSQL runs a command: %p, %f and %% replaced, in the data directory.
  int Run(const std::string& command, const std::string& path, const std::string& name) {
    std::string line;
    for (std::size_t i = 0; i < command.size(); ++i) {
      if (command[i] == '%' && i + 1 < command.size()) {
        char c = command[++i];
        line += c == 'p' ? path : c == 'f' ? name : std::string(1, c);
      } else {
        line += command[i];
      }
    }
    absl::StatusOr<HelperResult> result = RunHelper({.argv = {"/bin/sh", "-c", line}, .working_directory = data_});
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->exit_code : -1;
  }

  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(path, text, 0600).ok());
  }

  // A repository with a backup, and a script.
  void Prepare() {
    ASSERT_TRUE(WriteArchiveScript(repository_, "").ok());
    for (const std::string& path : {repository_ + "/base", repository_ + "/wal", data_ + "/pg_wal"}) {
      ASSERT_TRUE(MakeDirectories(path, 0700).ok());
    }
  }

  void Keep(const std::string& name, const std::string& text) { Write(repository_ + "/wal/" + name, text); }

  // All that is in the archive, sorted.
  std::string Files() const {
    absl::StatusOr<HelperResult> result = RunHelper({.argv = {"ls", "-A", repository_ + "/wal"}});
    return result.ok() ? result->standard_output : result.status().ToString();
  }

  void ExpectOneBeside(const std::string& name) const {
    std::vector<std::string> files = absl::StrSplit(Files(), '\n', absl::SkipEmpty());
    ASSERT_EQ(files.size(), 2U) << Files();
    EXPECT_EQ(files[0], name);
    EXPECT_TRUE(absl::StartsWith(files[1], name + ".other-")) << files[1];
  }

  std::string directory_, repository_, data_;
};

TEST_F(ArchiveTest, WithoutAScript_NothingIsKeptAndNothingFails) {
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", "000000010000000000000001"), 0);
  EXPECT_FALSE(Exists(repository_ + "/wal"));
}

TEST_F(ArchiveTest, ASegmentIsKeptOnce_AndAnotherNodesEqualOneIsASuccess) {
  Prepare();
  std::string command = ArchiveCommand(repository_);
  EXPECT_EQ(Run(command, "segment", "A"), 0);
  EXPECT_EQ(ReadFile(repository_ + "/wal/A").value_or(""), "wal");
  EXPECT_EQ(Run(command, "segment", "A"), 0);
  EXPECT_EQ(Files(), "A\n");
}

// Timeline 3 was left 6 bytes behind the beginning of its segment 4, which is 17 bytes long here: 0x4 * 17 + 6 = 0x4A.
TEST_F(ArchiveTest, BehindTheEndOfATimelineNodesMayDiffer) {
  Prepare();
  const std::string name = "000000030000000000000004";
  Keep(name, "valid-garbage-one");
  Write(data_ + "/segment", "valid-garbage-two");
  Write(data_ + "/pg_wal/00000004.history", "1\t0/10\tno recovery target specified\n\n3\t0/4A\tno target\n");
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", name), 0);
  EXPECT_EQ(ReadFile(repository_ + "/wal/" + name).value_or(""), "valid-garbage-one");
  EXPECT_EQ(Files(), name + "\n");
}

TEST_F(ArchiveTest, AHistoryThatIsOnlyInTheArchiveCountsToo) {
  Prepare();
  const std::string name = "0000000A0000000100000002";
  Keep(name, "valid-garbage-one");
  Write(data_ + "/segment", "valid-garbage-two");
  Keep("0000000B.history", "10\t1/28\tno recovery target specified\n");
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", name), 0);
  EXPECT_EQ(Files(), name + "\n0000000B.history\n");
}

TEST_F(ArchiveTest, APartialOneIsKeptOnce_WhateverItsRest) {
  Prepare();
  Keep("000000030000000000000004.partial", "first");
  Write(data_ + "/segment", "other");
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", "000000030000000000000004.partial"), 0);
  EXPECT_EQ(Files(), "000000030000000000000004.partial\n");
}

TEST_F(ArchiveTest, WhereTimelinesOfOneNumberDiffer_ThePrimarysIsKept_AndTheOtherBesideIt) {
  Prepare();
  const std::string name = "000000030000000000000004";
  Keep(name, "in vain");
  Write(data_ + "/segment", "it goes on");
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", name), 0);
  EXPECT_EQ(ReadFile(repository_ + "/wal/" + name).value_or(""), "it goes on");
  ExpectOneBeside(name);
}

TEST_F(ArchiveTest, AStandbyThatDiffersReplacesNothing_AndDoesNotStop) {
  Prepare();
  const std::string name = "000000030000000000000004";
  Keep(name, "it goes on");
  Write(data_ + "/segment", "in vain");
  Write(data_ + "/standby.signal", "");
  for (int again = 0; again < 2; ++again) {
    EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", name), 0);
    EXPECT_EQ(ReadFile(repository_ + "/wal/" + name).value_or(""), "it goes on");
    ExpectOneBeside(name);
  }
}

TEST_F(ArchiveTest, APgBackRestThatWasRemoved_HoldsNothingUpWhereTheWalIsKeptAnyway) {
  Prepare();
  ASSERT_TRUE(WriteArchiveScriptFor(repository_, "", directory_ + "/removed").ok());
  ASSERT_TRUE(MakeDirectories(repository_ + "/pgbackrest/archive/multigres", 0700).ok());
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", "A"), 0);
  EXPECT_EQ(Files(), "A\n");
  ASSERT_TRUE(RemoveTree(repository_ + "/base").ok());
  EXPECT_NE(Run(ArchiveCommand(repository_), "segment", "B"), 0);
}

TEST_F(ArchiveTest, APgBackRestThatIsThere_IsGivenEachSegment) {
  Prepare();
  const std::string program = directory_ + "/tool";
  ASSERT_TRUE(WriteFileAtomically(program, "#!/bin/sh\necho \"$@\" >>pushed\n", 0700).ok());
  ASSERT_TRUE(WriteArchiveScriptFor(repository_, "", program).ok());
  ASSERT_TRUE(MakeDirectories(repository_ + "/pgbackrest/archive/multigres", 0700).ok());
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", "A"), 0);
  EXPECT_TRUE(absl::StrContains(ReadFile(data_ + "/pushed").value_or(""), "archive-push segment"));
}

TEST_F(ArchiveTest, WhereNothingCanBeWritten_ItFails) {
  Prepare();
  ASSERT_TRUE(RemoveTree(repository_ + "/wal").ok());
  EXPECT_NE(Run(ArchiveCommand(repository_), "segment", "000000030000000000000004"), 0);
}

TEST_F(ArchiveTest, WhatIsKeptIsGivenBack_AndWhatIsNotThereFails) {
  ASSERT_TRUE(MakeDirectories(repository_ + "/wal", 0700).ok());
  ASSERT_TRUE(WriteFileAtomically(repository_ + "/wal/A", "kept", 0600).ok());
  EXPECT_EQ(Run(RestoreCommand(repository_), "back", "A"), 0);
  EXPECT_EQ(ReadFile(data_ + "/back").value_or(""), "kept");
  EXPECT_NE(Run(RestoreCommand(repository_), "back2", "B"), 0);
  EXPECT_FALSE(Exists(data_ + "/back2"));
}

}  // namespace
}  // namespace mg::multipooler::backup
