#include "components/multigateway/stats/normalise.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace mg::multigateway::stats {
namespace {

std::string N(absl::string_view sql, Backslashes backslashes = Backslashes::kPlain) {
  std::string out;
  Normalise(sql, backslashes, &out);
  return out;
}

TEST(Normalise_, ForLiterals_CountsParameters) {
  EXPECT_EQ(N("SELECT * FROM t WHERE a = 12 AND b = 'x''y' AND c = 1.5e-3"),
            "select * from t where a = $1 and b = $2 and c = $3");
  EXPECT_EQ(N("select e'a\\'b', b'01', x'ff', u&'\\0061', n'z'"), "select $1, $2, $3, $4, $5");
  EXPECT_EQ(N("select $$a 'b' $x$ c$$, $t$ $$ $t$"), "select $1, $2");
  EXPECT_EQ(N("select 0x1F, .5, 1_000, -7"), "select $1, $2, $3, -$4");
}

TEST(Normalise_, ForBackslashes_FollowsTheSetting) {
  const char* ambiguous = "select 'x\\'Secret', n'y\\'Secret', 'z' from t";
  EXPECT_EQ(N(ambiguous, Backslashes::kEscape), "select $1, $2, $3 from t");
  EXPECT_EQ(N(ambiguous, Backslashes::kUnknown), "select $1");
  const char* escape = "select a like 'b' escape '\\' from t";
  EXPECT_EQ(N(escape), "select a like $1 escape $2 from t");
  EXPECT_EQ(N(escape, Backslashes::kUnknown), "select a like $1 escape $2");
  EXPECT_EQ(N("select 'c:\\tmp', b'0' from t", Backslashes::kUnknown), "select $1, $2 from t");
}

TEST(Normalise_, ForALiteralInSeveralLines_ReadsAllAlike) {
  EXPECT_EQ(N("select e'a' -- b\n 'c\\'Secret', 'd'"), "select $1, $2");
  EXPECT_EQ(N("select 'a'\n'b' , 'c' 'd'"), "select $1 , $2 $3");
}

TEST(Normalise_, ForParameters_CountsOnFromTheHighest) { EXPECT_EQ(N("select $2, 5, $1"), "select $2, $3, $1"); }

TEST(Normalise_, ForCommentsAndSpace_LeavesOneBlank) {
  EXPECT_EQ(N("  select\n\t1 -- one\n , /* a /* nested */ comment */ 2 ; ; "), "select $1 , $2");
  EXPECT_EQ(N("select/**/1"), "select $1");
}

TEST(Normalise_, ForNames_KeepsQuotedOnesAndDigits) {
  EXPECT_EQ(N("SELECT \"My Col\", t1.c2 FROM Tab$1"), "select \"My Col\", t1.c2 from tab$1");
}

TEST(Normalise_, WhereATextDoesNotEnd_TakesAllOfIt) {
  EXPECT_EQ(N("select 'abc"), "select $1");
  EXPECT_EQ(N("select $a$ abc"), "select $1");
  EXPECT_EQ(N("select /* abc"), "select");
  EXPECT_EQ(N("select e'\\"), "select $1");
  EXPECT_EQ(N("$"), "$");
  EXPECT_EQ(N(""), "");
}

TEST(Normalise_, ForGarbage_EndsAndIsTheSameEachTime) {
  std::mt19937 random(4711);
  const std::string letters("'\"$-/*\\eEuU&xX;().,0123456789 \n\t_az\0\x80\xff", 40);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (std::uint32_t i = random() % 60; i > 0; --i) {
      text += letters[random() % letters.size()];
    }
    std::string once = N(text);
    ASSERT_EQ(once, N(text));
    // Every byte gives at most itself, or a parameter's number.
    ASSERT_LE(once.size(), text.size() * 8 + 8);
    // No literal is left: what was said in quotes stays secret. Names in quotes stay.
    if (text.find('"') == std::string::npos) {
      ASSERT_EQ(once.find('\''), std::string::npos) << text;
    }
  }
}

TEST(Fingerprint_, OfTextsThatDifferInLiterals_IsOne) {
  EXPECT_EQ(Fingerprint(N("select 1 from t where a='x'")), Fingerprint(N("SELECT  2 FROM t WHERE a='y';")));
  EXPECT_NE(Fingerprint(N("select 1 from t")), Fingerprint(N("select 1 from u")));
}

TEST(IsUtility_, TellsStatementsOfTablesApart) {
  for (const char* sql :
       {"select 1", "(select 1)", "with a as (select 1) select * from a", "values (1)", "execute p(1)"}) {
    EXPECT_FALSE(IsUtility(N(sql))) << sql;
  }
  for (const char* sql : {"begin", "SET x = 1", "create table t ()", "", ";", "selected"}) {
    EXPECT_TRUE(IsUtility(N(sql))) << sql;
  }
}

std::string ShapeOf(const std::string& sql, size_t room = 100) {
  std::string out(room, '\0');
  out.resize(Shape(sql, absl::MakeSpan(out)));
  return out;
}

TEST(Shape, WholeNumbers_AreOneDigit) {
  EXPECT_EQ(ShapeOf("SELECT a FROM t WHERE id = 4711;"), "SELECT a FROM t WHERE id = 0;");
  EXPECT_EQ(ShapeOf("select f(12,345) limit 10"), "select f(0,0) limit 0");
  EXPECT_EQ(ShapeOf("select t12.c3, 1.5, 0x1f, 1e10"), "select t12.c3, 1.5, 0x1f, 1e10");
}

TEST(Shape, NoneOfWhatOnlyTheNormalFormTellsApart) {
  for (const char* sql : {"select '1'", "select \"1\"", "select $1", "select 1 -- 2", "select 1 /* 2 */", ""}) {
    EXPECT_EQ(ShapeOf(sql), "") << sql;
  }
  EXPECT_EQ(ShapeOf("select 1000", 10), "") << "longer than the room";
}

TEST(Shape, TextsOfOneShape_HaveOneNormalForm) {
  std::mt19937 random(4711);
  const std::vector<std::string> pieces = {"select", "t", "1", "22", "333", " ", " ", "(", ")",  ",", "=",
                                           "-",      "*", "/", ".",  "e",   "x", "_", "'", "\"", "$", ";"};
  std::map<std::string, std::string> forms;
  int shared = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string sql;
    for (std::uint32_t i = random() % 6; i > 0; --i) {
      sql += pieces[random() % pieces.size()];
    }
    std::string shape = ShapeOf(sql), form;
    if (shape.empty()) {
      continue;
    }
    Normalise(sql, Backslashes::kPlain, &form);
    auto [known, first] = forms.try_emplace(shape, form);
    EXPECT_EQ(known->second, form) << sql;
    shared += first ? 0 : 1;
  }
  EXPECT_GT(shared, 1000);
}

}  // namespace
}  // namespace mg::multigateway::stats
