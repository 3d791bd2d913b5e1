#include "components/multipooler/backup/archive_gaps.h"

#include <cstdlib>
#include <filesystem>

#include "common/fs/fs.h"
#include "gtest/gtest.h"

namespace mg::multipooler::backup {
namespace {

constexpr std::uint64_t kSize = 16 << 20;

std::string Missing(const Timeline& line, const Segments& present) {
  std::string names;
  for (const Segment& segment : MissingAfter({.id = "b", .timeline = 1, .lsn = "0/3000100"}, line, present, kSize)) {
    names += NameOf(segment, kSize) + " ";
  }
  return names;
}

TEST(MissingAfter_, HoleInOneTimeline_IsFound) {
  const Timeline first{.id = 1, .ancestors = {}};
  EXPECT_EQ(Missing(first, {}), "");
  EXPECT_EQ(Missing(first, {{1, 3}, {1, 4}, {1, 5}}), "");
  EXPECT_EQ(Missing(first, {{1, 3}, {1, 5}, {1, 8}}),
            "000000010000000000000004 000000010000000000000006 000000010000000000000007 ");
}

TEST(MissingAfter_, SegmentInWhichATimelineWasLeft_IsTheNextOnes) {
  const Timeline second{.id = 2, .ancestors = {{.timeline = 1, .lsn = "0/5000100", .reason = ""}}};
  EXPECT_EQ(Missing(second, {{1, 3}, {1, 4}, {2, 5}, {2, 6}}), "");
  EXPECT_EQ(Missing(second, {{1, 3}, {1, 4}, {1, 5}, {2, 6}}), "000000020000000000000005 ");
  // What the former leader wrote behind that is nobody's.
  EXPECT_EQ(Missing(second, {{1, 4}, {1, 9}, {2, 5}}), "");
}

TEST(ReadSegments_, NamesOfBothArchives_AndNothingElse) {
  char place[] = "/tmp/mg-segments-XXXXXX";
  ASSERT_NE(::mkdtemp(place), nullptr);
  const std::string directory = place;
  ASSERT_TRUE(MakeDirectories(directory + "/15-1/0000000100000001", 0700).ok());
  for (const char* name :
       {"000000010000000000000004", "000000010000000000000005.partial", "000000010000000000000006.other-1-2",
        "00000002.history", "15-1/0000000100000001/0000000100000001000000FF-0123456789abcdef.gz"}) {
    ASSERT_TRUE(WriteFileAtomically(directory + "/" + name, "x", 0600).ok());
  }
  EXPECT_EQ(*ReadSegments(directory, kSize), (Segments{{1, 4}, {1, 0x1FF}}));
  EXPECT_EQ(NameOf({1, 0x1FF}, kSize), "0000000100000001000000FF");
  EXPECT_EQ(SegmentSize(directory), 1u);
  EXPECT_EQ(SegmentSize(directory + "/nothing"), kSize);
  EXPECT_EQ(ReadSegments(directory + "/nothing", kSize)->size(), 0u);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace mg::multipooler::backup
