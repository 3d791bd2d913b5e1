#include "common/topology/drained.h"

#include <gtest/gtest.h>

namespace mg::topology {
namespace {

TEST(CheckDrainReason_, TakesPlainTextOnly) {
  for (const char* good : {"", "new disk", "Gerät: „zürich“ …"}) {
    EXPECT_TRUE(CheckDrainReason(good).ok()) << good;
  }
  for (const char* bad : {"x\nlifecycle  active", "x\r", "\x1b[31mred", "a\tb", "\x7f",
                          "\xc2\x9b"
                          "31m"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckDrainReason(bad))) << bad;
  }
  EXPECT_FALSE(CheckDrainReason(std::string("a\0b", 3)).ok());
}

}  // namespace
}  // namespace mg::topology
