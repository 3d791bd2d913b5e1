#include "components/multipooler/backup/archive.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
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

  std::string directory_, repository_, data_;
};

TEST_F(ArchiveTest, WithoutAScript_NothingIsKeptAndNothingFails) {
  EXPECT_EQ(Run(ArchiveCommand(repository_), "segment", "000000010000000000000001"), 0);
  EXPECT_FALSE(Exists(repository_ + "/wal"));
}

TEST_F(ArchiveTest, ASegmentIsKeptOnce_AndAnotherOneOfItsNameIsRefused) {
  ASSERT_TRUE(WriteArchiveScript(repository_, "").ok());
  ASSERT_TRUE(MakeDirectories(repository_ + "/base", 0700).ok());
  ASSERT_TRUE(MakeDirectories(repository_ + "/wal", 0700).ok());
  std::string command = ArchiveCommand(repository_);
  EXPECT_EQ(Run(command, "segment", "A"), 0);
  EXPECT_EQ(ReadFile(repository_ + "/wal/A").value_or(""), "wal");
  EXPECT_EQ(Run(command, "segment", "A"), 0);  // another node has the same one
  ASSERT_TRUE(WriteFileAtomically(data_ + "/segment", "not the same", 0600).ok());
  EXPECT_NE(Run(command, "segment", "A"), 0);
  EXPECT_EQ(ReadFile(repository_ + "/wal/A").value_or(""), "wal");
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
