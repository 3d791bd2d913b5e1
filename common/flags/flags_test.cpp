#include "common/flags/flags.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace mg::flags {
namespace {

absl::Status ParseWords(FlagSet* flags, std::vector<std::string> words) {
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  return flags->Parse(static_cast<int>(argv.size()), argv.data());
}

struct Values {
  std::string name = "x";
  int port = 5432;
  bool on = true, off = false;
  absl::Duration wait = absl::Seconds(30);
  std::vector<std::string> list;
  void AddTo(FlagSet* flags) {
    flags->Add("name", &name, "a name", {"MG_FLAGS_TEST_NAME", "MG_FLAGS_TEST_OTHER"});
    flags->Add("port", &port, "a port");
    flags->Add("on", &on, "on");
    flags->Add("off", &off, "off");
    flags->Add("wait", &wait, "a wait");
    flags->Add("list", &list, "a list");
  }
};

TEST(Flags, BothSpellingsAndAllTypes) {
  Values v;
  FlagSet flags("program", "does");
  v.AddTo(&flags);
  ASSERT_TRUE(ParseWords(&flags, {"--name", "a", "--port=7", "--on=false", "--off", "--wait", "1m30s", "--list", "a,b",
                                  "--list=c"})
                  .ok());
  EXPECT_EQ(v.name, "a");
  EXPECT_EQ(v.port, 7);
  EXPECT_FALSE(v.on);
  EXPECT_TRUE(v.off);
  EXPECT_EQ(v.wait, absl::Seconds(90));
  EXPECT_EQ(v.list, (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Flags, BooleanDoesNotTakeTheNextWord) {
  Values v;
  FlagSet flags("program", "does");
  v.AddTo(&flags);
  EXPECT_EQ(ParseWords(&flags, {"--off", "false"}).message(), "unexpected argument: false");
}

TEST(Flags, WrongInput_IsOneSentence) {
  Values v;
  FlagSet flags("program", "does");
  v.AddTo(&flags);
  EXPECT_EQ(ParseWords(&flags, {"--nope"}).message(), "unknown flag: --nope");
  FlagSet again("program", "does");
  v.AddTo(&again);
  EXPECT_EQ(ParseWords(&again, {"--port", "seven"}).message(), "--port: 'seven' is not a whole number");
}

TEST(Flags, EnvironmentIsBelowTheCommandLine) {
  ::setenv("MG_FLAGS_TEST_OTHER", "from-env", 1);
  Values v;
  FlagSet flags("program", "does");
  v.AddTo(&flags);
  ASSERT_TRUE(ParseWords(&flags, {}).ok());
  EXPECT_EQ(v.name, "from-env");
  Values w;
  FlagSet second("program", "does");
  w.AddTo(&second);
  ASSERT_TRUE(ParseWords(&second, {"--name=given"}).ok());
  EXPECT_EQ(w.name, "given");
  ::unsetenv("MG_FLAGS_TEST_OTHER");
}

TEST(Flags, ThoseThatNothingUses_AreToldAsTheyWereGiven) {
  FlagSet flags("program", "does");
  flags.Accept<std::string>({"ca-file", "key-file", "cert-file"});
  flags.Accept<int>({"port"});
  ASSERT_TRUE(ParseWords(&flags, {"--ca-file=ca", "--cert-file=cert", "--port", "1"}).ok());
  EXPECT_EQ(flags.Values(), (std::vector<std::pair<std::string, std::string>>{
                                {"ca-file", "ca"}, {"cert-file", "cert"}, {"port", "1"}}));
  FlagSet others("program", "does");
  others.Accept<int>({"port"});
  EXPECT_FALSE(ParseWords(&others, {"--port", "many"}).ok());
}

TEST(Flags, Secret_IsNotShown) {
  Values v;
  FlagSet flags("program", "does");
  v.AddTo(&flags);
  flags.MarkSecret("name");
  ASSERT_TRUE(ParseWords(&flags, {"--name", "password"}).ok());
  EXPECT_EQ(flags.Values()[0].second, "***");
}

TEST(Duration, GoNotation) {
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("0"), absl::ZeroDuration());
  EXPECT_FALSE(ParseDuration("5").ok());
  EXPECT_EQ(DurationText(absl::Seconds(90)), "1m30s");
}

}  // namespace
}  // namespace mg::flags
