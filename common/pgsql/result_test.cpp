#include <gtest/gtest.h>

#include "common/pgsql/connection.h"

namespace mg::pgsql {
namespace {

TEST(QuoteLiteral, WhenTextHasQuotesAndBackslashes_EscapesThem) {
  EXPECT_EQ(QuoteLiteral("a'b"), "'a''b'");
  EXPECT_EQ(QuoteLiteral("a\\b"), " E'a\\\\b'");
}

TEST(ArrayText, WhenElementsHaveSpecialCharacters_QuotesEachElement) {
  EXPECT_EQ(ArrayText({}), "{}");
  EXPECT_EQ(ArrayText({"zone1_a", "x\"y"}), "{\"zone1_a\",\"x\\\"y\"}");
}

TEST(Result, WhenRowOrColumnIsAbsent_GivesEmptyValues) {
  Result result;
  EXPECT_TRUE(result.IsNull(0, 0));
  EXPECT_EQ(result.Text(3, 1), "");
  EXPECT_EQ(result.Int(0, 0), 0);
  EXPECT_TRUE(result.TextArray(0, 0).empty());
}

}  // namespace
}  // namespace mg::pgsql
