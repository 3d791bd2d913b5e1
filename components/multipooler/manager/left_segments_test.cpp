#include "components/multipooler/manager/left_segments.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "common/fs/fs.h"

namespace mg::multipooler {
namespace {

class LeftSegmentsTest : public testing::Test {
 protected:
  LeftSegmentsTest() {
    char name[] = "/tmp/mg-left-XXXXXX";
    data_ = mkdtemp(name);
    EXPECT_TRUE(MakeDirectories(data_ + "/pg_wal/archive_status", 0700).ok());
    // Segments of 1 MiB.
    Write("00000005000000000000001F", std::string(1 << 20, '5'));
  }
  ~LeftSegmentsTest() override { (void)RemoveTree(data_); }

  void Write(const std::string& name, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomically(data_ + "/pg_wal/" + name, bytes).ok());
  }
  std::string Read(const std::string& name) { return ReadFile(data_ + "/pg_wal/" + name).value_or("none"); }
  void Keep() {
    absl::Status kept = KeepLeftSegments(data_, "");
    ASSERT_TRUE(kept.ok()) << kept;
  }

  std::string data_;
};

TEST_F(LeftSegmentsTest, WhenTwoTimelinesEndInOneSegment_TheLaterOnesFileHasItsNameAgain) {
  Write("00000005.history", "2\t0/1500000\tno recovery target specified\n3\t0/1F10000\tx\n\n4\t0/1F20000\tx\n");
  Write("00000004.history", "2\t0/1500000\tx\n3\t0/1F10000\tx\n");
  Write("00000004000000000000001F.partial", "four");
  Keep();
  EXPECT_EQ(Read("00000004000000000000001F"), "four");
  EXPECT_EQ(Read("00000004000000000000001F.partial"), "four");
  EXPECT_EQ(Read("archive_status/00000004000000000000001F.done"), "");
  EXPECT_EQ(Read("00000003000000000000001F"), "none") << "the first that ended there is read from the second's file";
  Write("00000004000000000000001F", "as it is");
  Keep();
  EXPECT_EQ(Read("00000004000000000000001F"), "as it is");
}

TEST_F(LeftSegmentsTest, WhenThePartialOneIsGone_ThePresentTimelinesServes) {
  Write("00000005.history", "3\t0/1F10000\tx\n4\t0/1F20000\tx\n");
  Keep();
  EXPECT_EQ(Read("00000004000000000000001F").size(), std::size_t{1} << 20);
}

TEST_F(LeftSegmentsTest, WhenEachEndsInItsOwn_NothingIsDone) {
  Write("00000005.history", "3\t0/1E10000\tx\n4\t0/1F20000\tx\n");
  Write("00000004000000000000001F.partial", "four");
  Keep();
  EXPECT_EQ(Read("00000004000000000000001F"), "none");
  EXPECT_TRUE(KeepLeftSegments(data_ + "/nowhere", "").code() == absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace mg::multipooler
