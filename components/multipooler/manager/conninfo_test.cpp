#include "components/multipooler/manager/conninfo.h"

#include "gtest/gtest.h"

namespace mg::multipooler {
namespace {

TEST(ConninfoValue, IsReadAsLibpqReadsIt) {
  constexpr char kText[] = R"(host='127.0.0.1' port = 25432 user='a b\'c' application_name=zone1\ x passfile=/p)";
  EXPECT_EQ(ConninfoValue(kText, "host"), "127.0.0.1");
  EXPECT_EQ(ConninfoValue(kText, "port"), "25432");
  EXPECT_EQ(ConninfoValue(kText, "user"), "a b'c");
  EXPECT_EQ(ConninfoValue(kText, "application_name"), "zone1 x");
  EXPECT_EQ(ConninfoValue(kText, "passfile"), "/p");
  EXPECT_EQ(ConninfoValue(kText, "dbname"), "");
  EXPECT_EQ(ConninfoValue("", "host"), "");
}

TEST(WithoutPassword, HidesItHoweverItIsWritten) {
  EXPECT_EQ(WithoutPassword("host=a passfile=/p user=b"), "host=a passfile=/p user=b");
  EXPECT_EQ(WithoutPassword("host=a password=secret user=b"), "host=a password=*** user=b");
  EXPECT_EQ(WithoutPassword(R"(password = 'se cr\'et' host=a)"), "password = *** host=a");
  EXPECT_EQ(WithoutPassword(R"(host=a password=se\ cret)"), "host=a password=***");
  EXPECT_EQ(WithoutPassword("host=a password='never ends"), "host=a password=***");
  EXPECT_EQ(WithoutPassword("sslpassword=x password="), "sslpassword=*** password=***");
}

TEST(WithoutPassword, HidesItInAUri) {
  EXPECT_EQ(WithoutPassword("postgresql://u:secret@h:1/d?sslmode=require"), "postgresql://u:***@h:1/d?sslmode=require");
  EXPECT_EQ(WithoutPassword("postgres://h:1/d?password=secret&user=u"), "postgres://h:1/d?password=***&user=u");
  EXPECT_EQ(WithoutPassword("postgres://u@h:1/d?user=u&sslpassword=secret"),
            "postgres://u@h:1/d?user=u&sslpassword=***");
  EXPECT_EQ(WithoutPassword("postgresql://h:1"), "postgresql://h:1");
}

}  // namespace
}  // namespace mg::multipooler
