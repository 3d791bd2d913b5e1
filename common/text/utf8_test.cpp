#include "common/text/utf8.h"

#include <gtest/gtest.h>

namespace mg::text {
namespace {

TEST(ToValidUtf8, WhenTextIsValid_KeepsIt) {
  for (const char* text : {"", "plain", "caf\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF"}) {
    EXPECT_EQ(ToValidUtf8(text), text);
  }
}

TEST(ToValidUtf8, WhenBytesAreInvalid_ReplacesEachOfThem) {
  EXPECT_EQ(ToValidUtf8("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(ToValidUtf8("\xC3"), "\xEF\xBF\xBD");                                  // cut off
  EXPECT_EQ(ToValidUtf8("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(ToValidUtf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // surrogate
  EXPECT_EQ(ToValidUtf8("\xE2\x82z"), "\xEF\xBF\xBD\xEF\xBF\xBDz");                // broken in the middle
  EXPECT_EQ(ToValidUtf8("\xF4\x90\x80\x80").size(), 12u);                          // above U+10FFFF
}

}  // namespace
}  // namespace mg::text
