#include "common/topology/source_plan.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace mg::topology {
namespace {

using Wanted = std::map<SourcePlan::Addresses, std::string>;
const SourcePlan::Addresses kA = {"a:1"}, kB = {"b:1"}, kC = {"c:1"};

TEST(SourcePlanTest, CellsOfOneEtcdAreOneSource) {
  SourcePlan plan(64);
  EXPECT_TRUE(plan.Put("zone1", kA, "/mg/zone1"));
  EXPECT_EQ(plan.wanted(), (Wanted{{kA, "/mg/"}}));
  for (int i = 2; i < 10000; ++i) {
    ASSERT_FALSE(plan.Put(absl::StrCat("zone", i), kA, absl::StrCat("/mg/zone", i))) << i;
  }
  EXPECT_EQ(plan.cells().size(), 9999u);
  EXPECT_FALSE(plan.Put("zone1", kA, "/mg/zone1"));
  EXPECT_FALSE(plan.Erase("zone1"));
  EXPECT_FALSE(plan.Erase("zone1"));
}

TEST(SourcePlanTest, AWiderDirectoryIsANewWish) {
  SourcePlan plan(64);
  EXPECT_TRUE(plan.Put("x", kA, "/mg/one/x/"));
  EXPECT_TRUE(plan.Put("y", kA, "/mg/two/y"));
  EXPECT_EQ(plan.wanted().at(kA), "/mg/");
  EXPECT_FALSE(plan.Put("z", kA, "/mg/one"));
  EXPECT_TRUE(plan.Put("w", kA, "/other"));
  EXPECT_EQ(plan.wanted().at(kA), "/");
}

TEST(SourcePlanTest, ARootOfOneSegmentIsNotTheWholeEtcd) {
  SourcePlan plan(64);
  EXPECT_TRUE(plan.Put("x", kA, "/x"));
  EXPECT_EQ(plan.wanted().at(kA), "/x/");
  EXPECT_TRUE(plan.Put("xy", kA, "/xy"));  // no directory but the first holds both
  EXPECT_EQ(plan.wanted().at(kA), "/");
  SourcePlan strange(64);
  EXPECT_TRUE(strange.Put("x", kA, ""));
  EXPECT_EQ(strange.wanted().at(kA), "/");
}

TEST(SourcePlanTest, ACellThatMovesLeavesItsEtcd) {
  SourcePlan plan(64);
  EXPECT_TRUE(plan.Put("x", kA, "/mg/x"));
  EXPECT_TRUE(plan.Put("x", kB, "/mg/x"));
  EXPECT_EQ(plan.wanted(), (Wanted{{kB, "/mg/"}}));
}

TEST(SourcePlanTest, TooManyEtcds_ThoseThatCameFirstStay) {
  SourcePlan plan(2);
  EXPECT_TRUE(plan.Put("x", kB, "/mg/x"));
  EXPECT_TRUE(plan.Put("y", kC, "/mg/y"));
  EXPECT_FALSE(plan.Put("a", kA, "/one/a"));
  EXPECT_FALSE(plan.Put("b", kA, "/two/b"));
  EXPECT_EQ(plan.left_out(), 2u);
  EXPECT_FALSE(plan.wanted().contains(kA));
  EXPECT_TRUE(plan.Erase("x"));
  EXPECT_EQ(plan.wanted(), (Wanted{{kA, "/"}, {kC, "/mg/"}}));
  EXPECT_EQ(plan.left_out(), 0u);
  EXPECT_FALSE(plan.Erase("a"));
  EXPECT_TRUE(plan.Erase("b"));
}

}  // namespace
}  // namespace mg::topology
