#include "cli/output/screen.h"

#include "gtest/gtest.h"

namespace mg::cli {
namespace {

Terminal Of(int width, int height) {
  Terminal terminal;
  terminal.width = width;
  terminal.height = height;
  return terminal;
}

TEST(FitScreen_, WhatFits_IsWhole) {
  EXPECT_EQ(FitScreen("a\nb\nc\n", "", Of(10, 3)), "a\nb\nc");
  EXPECT_EQ(FitScreen("", "", Of(10, 3)), "");
}

TEST(FitScreen_, WhatIsTaller_KeepsItsTopAndSaysWhatIsHidden) {
  EXPECT_EQ(FitScreen("a\nb\nc\nd\n", "", Of(40, 3)), "a\nb\n… 2 more lines");
  EXPECT_EQ(FitScreen("a\nb\n", "", Of(40, 1)), "… 2 more lines");
}

TEST(FitScreen_, LineThatWraps_CountsAsItsRows) {
  EXPECT_EQ(FitScreen("a\n1234567890\nc\nd\n", "", Of(5, 4)), "a\n1234567890\n… 2 more lines");
  EXPECT_EQ(FitScreen("\033[31m12345\033[0m\nb\n", "", Of(5, 2)), "\033[31m12345\033[0m\nb");
}

TEST(FitScreen_, Troubles_AreAlwaysSeen) {
  EXPECT_EQ(FitScreen("a\nb\nc\nd\n", "warning: x\n", Of(40, 4)), "a\nb\n… 2 more lines\nwarning: x");
  EXPECT_EQ(FitScreen("a\n", "error: x\nwhy: y\nnext: z\n", Of(40, 4)), "a\nerror: x\nwhy: y");
}

}  // namespace
}  // namespace mg::cli
