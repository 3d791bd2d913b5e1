#include "common/text/text.h"
#include "common/text/suggest.h"

#include "gtest/gtest.h"

namespace mg::text {
namespace {

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(EditDistance("status", "status"), 0);
  EXPECT_EQ(EditDistance("stauts", "status"), 1);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(Closest, OnlyOffersWhatIsNear) {
  EXPECT_EQ(Closest("statsu", {"up", "down", "status"}), "status");
  EXPECT_EQ(Closest("dwon", {"up", "down", "status"}), "down");
  EXPECT_EQ(Closest("stat", {"start", "status", "statistics"}), "status");
  EXPECT_EQ(Closest("st", {"up", "start"}), std::nullopt);
  EXPECT_EQ(Closest("xyzzy", {"up", "down", "status"}), std::nullopt);
}

TEST(Closest, OfNamesWithTheSameKind_ComparesWhatFollowsIt) {
  const std::vector<std::string> known = {"multigateway/zone1", "multigateway/zone2"};
  EXPECT_EQ(Closest("multigateway/abc", known), std::nullopt);
  EXPECT_EQ(Closest("multigateway/zoen2", known), "multigateway/zone2");
  EXPECT_EQ(Closest("multigatway/zone2", known), "multigateway/zone2");
  EXPECT_EQ(Closest("multigateway/zon", known), "multigateway/zone1");
}

TEST(HumanDuration, IsShort) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(340)), "0.3s");
  EXPECT_EQ(HumanDuration(absl::Seconds(42)), "42s");
  EXPECT_EQ(HumanDuration(absl::Seconds(200)), "3m20s");
  EXPECT_EQ(HumanDuration(absl::Minutes(125)), "2h05m");
  EXPECT_EQ(HumanDuration(absl::Hours(99)), "4d3h");
}

TEST(HumanBytes, ChoosesTheUnit) {
  EXPECT_EQ(HumanBytes(512), "512 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(20u << 20), "20 MiB");
}

TEST(DisplayWidth, LeavesOutEscapesAndCountsCodePoints) {
  EXPECT_EQ(DisplayWidth("\033[32m✔\033[0m ok"), 4);
  EXPECT_EQ(Truncate("abcdef", 4), "abc…");
  EXPECT_EQ(Truncate("abcd", 4), "abcd");
  EXPECT_EQ(DisplayWidth(Truncate("\033[32mabcdef\033[0m", 4)), 4);
}

TEST(Wrap, BreaksAtWords) { EXPECT_EQ(Wrap("aa bb cc dd", 6, 2), "aa bb\n  cc\n  dd"); }

TEST(ShellQuote, QuotesOnlyWhenNeeded) {
  EXPECT_EQ(ShellQuote("a/b-c"), "a/b-c");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote(""), "''");
}

TEST(DidYouMean, NamesWhatIsNear_ElseSaysTheOtherThing) {
  EXPECT_EQ(DidYouMean("zoen1", {"zone1", "zone2"}, "there are two"), "did you mean 'zone1'?");
  EXPECT_EQ(DidYouMean("berlin", {"zone1", "zone2"}, "there are two"), "there are two");
  EXPECT_EQ(DidYouMean("x", {}, ""), "");
}

}  // namespace
}  // namespace mg::text
