#include "cli/bundle/secrets.h"

#include <gtest/gtest.h>

namespace mg::cli {
namespace {

TEST(Secrets, KnownValues_AreTakenOutWhereverTheyStand) {
  Secrets secrets;
  secrets.Add("hunter22\n");
  secrets.Add("hunter22-long");
  EXPECT_EQ(secrets.Remove("a hunter22-long b\nxhunter22x"), "a [removed] b\nx[removed]x");
}

TEST(Secrets, TheDefaultPassword_IsAlsoAName_AndStays) {
  Secrets secrets;
  secrets.Add("postgres");
  EXPECT_EQ(secrets.Remove("user postgres of database postgres"), "user postgres of database postgres");
  EXPECT_EQ(secrets.Remove("password=postgres user=postgres"), "password=[removed] user=postgres");
}

TEST(Secrets, OfAPassfile_TheLastFieldCounts_WithItsEscapes) {
  Secrets secrets;
  secrets.AddPassfile("127.0.0.1:15432:*:postgres:a\\:b\\\\c:d\n*:*:*:bob:swordfish\n");
  EXPECT_EQ(secrets.Remove("x a:b\\c:d y swordfish"), "x [removed] y [removed]");
}

struct Case {
  const char* text;
  const char* expected;
};

TEST(Secrets, WaysToWriteThemDown) {
  for (const Case& c : {
           Case{"CREATE ROLE a PASSWORD 'it''s'", "CREATE ROLE a PASSWORD [removed]"},
           Case{"alter role a encrypted password 'x y z';", "alter role a encrypted password [removed];"},
           Case{"{\"password\":\"p w\",\"user\":\"u\"}", "{\"password\":[removed],\"user\":\"u\"}"},
           Case{"{\\\"token\\\": \\\"abc\\\", \\\"a\\\": 1}", "{\\\"token\\\": [removed], \\\"a\\\": 1}"},
           Case{"authorization: Bearer abc.def", "authorization: Bearer [removed]"},
           Case{"env=PGPASSWORD=abc", "env=PGPASSWORD=[removed]"},
           Case{R"({"tokens": ["abc", "def"], "a": 1})", R"({"tokens": [removed], "a": 1})"},
           Case{"password=[ab]cd user=u", "password=[removed] user=u"},
           Case{"password=[removed] user=u", "password=[removed] user=u"},
           Case{"password=[", "password=[removed]"},
           Case{"password: abc  # a comment", "password: [removed]  # a comment"},
           Case{"postgresql://bob:pa:ss@host:5432/db?x=1", "postgresql://bob:[removed]@host:5432/db?x=1"},
           Case{"postgresql://bob@host:5432/db", "postgresql://bob@host:5432/db"},
           Case{"'SCRAM-SHA-256$4096:salt$stored:server'", "'[removed]'"},
           Case{"md50123456789abcdef0123456789abcdef", "[removed]"},
           Case{"password authentication failed for user \"x\"", "password authentication failed for user \"x\""},
           Case{"the password is wrong", "the password is wrong"},
           Case{"--pg-password-file=/run/x", "--pg-password-file=[removed]"},
           Case{"-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nafter", "[removed]\n\n\nafter"},
           Case{"", ""},
           Case{"\n\n", "\n\n"},
       }) {
    EXPECT_EQ(Secrets().Remove(c.text), c.expected) << c.text;
  }
}

}  // namespace
}  // namespace mg::cli
