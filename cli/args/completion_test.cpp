#include "cli/args/completion.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace mg::cli {
namespace {

std::vector<Command> Commands() {
  return {
      {.path = "up", .summary = "bring it up", .flags = {{.name = "cells", .value = "N"}}, .aliases = {"cluster up"}},
      {.path = "topology cell list", .summary = "list cells"},
      {.path = "topology cell get", .summary = "one cell", .positionals = {{.name = "NAME"}}},
      {.path = "pooler list", .summary = "list poolers", .flags = {{.name = "cell", .value = "CELL"}}},
      {.path = "db create",
       .summary = "make one",
       .flags = {{.name = "cells", .value = "CELL", .repeated = true},
                 {.name = "kinds", .value = "KIND", .choices = {"a", "b", "bc"}, .repeated = true}}},
      {.path = "logs", .positionals = {{.name = "NAME"}}},
      {.path = "wait", .positionals = {{.name = "NAME"}}},
      {.path = "chaos kill", .positionals = {{.name = "NAME"}}},
      {.path = "why", .positionals = {{.name = "NAME"}}},
      {.path = "backup wait", .positionals = {{.name = "JOB"}}},
      {.path = "bundle", .flags = {{.name = "file", .value = "FILE"}}},
      {.path = "cluster validate", .positionals = {{.name = "FILE"}}},
      {.path = "completion", .summary = "a script", .positionals = {{.name = "SHELL"}}},
      {.path = "getcell", .summary = "upstream's", .hidden = true}};
}

std::string Values(const std::vector<std::string>& words) {
  std::string text;
  for (const Candidate& candidate : Complete(Commands(), words).candidates) {
    absl::StrAppend(&text, candidate.value, " ");
  }
  return text;
}

LiveNames Live(const std::vector<std::string>& words) { return Complete(Commands(), words).live; }

TEST(Completion, OffersCommandsAndNouns_AndNothingHidden) {
  EXPECT_EQ(Values({""}), "up cluster topology pooler db logs wait chaos why backup bundle completion ");
  EXPECT_EQ(Values({"to"}), "topology ");
  EXPECT_EQ(Values({"topology", ""}), "cell ");
  EXPECT_EQ(Values({"topology", "cell", ""}), "list get ");
  EXPECT_EQ(Values({"getc"}), "");
  EXPECT_EQ(Values({"nonsense", ""}), "");
}

TEST(Completion, OffersFlagsAndTheirChoices) {
  EXPECT_EQ(Values({"pooler", "list", "--ce"}), "--cell ");
  EXPECT_EQ(Values({"pooler", "list", "--output", ""}), "text json yaml ");
  EXPECT_EQ(Values({"pooler", "list", "--output=j"}), "--output=json ");
  EXPECT_EQ(Values({"pooler", "list", "--output", "=", "y"}), "yaml ");
  EXPECT_EQ(Values({"pooler", "list", "--output", "="}), "text json yaml ");
  EXPECT_EQ(Values({"completion", ""}), "bash zsh fish ");
}

TEST(Completion, KnowsWhichLiveNamesBelongThere) {
  EXPECT_EQ(Live({"topology", "cell", "get", "z"}), LiveNames::kCells);
  EXPECT_EQ(Live({"pooler", "list", "--cell", ""}), LiveNames::kCells);
  EXPECT_EQ(Live({"up", "--cells", ""}), LiveNames::kNone);
  EXPECT_EQ(Live({"--context", ""}), LiveNames::kContexts);
  EXPECT_EQ(Live({"topology", "cell", "list", ""}), LiveNames::kNone);
  EXPECT_EQ(Live({"up", "--", "x"}), LiveNames::kNone);
  Completion one = Complete(Commands(), {"--cluster", "shop", "pooler", "list", "--cell=zo"});
  EXPECT_EQ(one.live, LiveNames::kCells);
  EXPECT_EQ(one.before + "|" + one.prefix, "--cell=|zo");
  EXPECT_EQ(one.arguments.Get("cluster"), "shop");
}

TEST(Completion, CompletesTheLastItemOfAList) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"db", "create", "--cells", "zone1,zone2,zo"},
                                                                 {"db", "create", "--cells", "=", "zone1,zone2,zo"}}) {
    Completion completion = Complete(Commands(), words);
    EXPECT_EQ(completion.live, LiveNames::kCells);
    EXPECT_EQ(completion.before + "|" + completion.prefix, "zone1,zone2,|zo");
    EXPECT_EQ(completion.listed, (std::vector<std::string>{"zone1", "zone2"}));
  }
  EXPECT_EQ(Complete(Commands(), {"db", "create", "--cells=zone1,"}).before, "--cells=zone1,");
  EXPECT_EQ(Values({"db", "create", "--kinds", "b,"}), "b,a b,bc ");
  EXPECT_EQ(Values({"db", "create", "--kinds=b,a,b"}), "--kinds=b,a,bc ");
  // What takes one name has no items.
  EXPECT_EQ(Complete(Commands(), {"pooler", "list", "--cell", "zone1,"}).prefix, "zone1,");
}

TEST(Completion, OffersWhatEachCommandTakesForComponents) {
  EXPECT_EQ(Live({"logs", ""}), LiveNames::kLogs);
  EXPECT_EQ(Live({"wait", "multipooler/zone1", ""}), LiveNames::kSelectors);
  EXPECT_EQ(Live({"chaos", "kill", ""}), LiveNames::kFaultTargets);
  EXPECT_EQ(Live({"why", ""}), LiveNames::kComponents);
}

TEST(Completion, OffersFilesWhereFilesBelong_AndNowhereElse) {
  auto files = [](const std::vector<std::string>& words) { return Complete(Commands(), words).files; };
  EXPECT_TRUE(files({"bundle", "--file", "/et"}));
  EXPECT_TRUE(files({"bundle", "--file=/et"}));
  EXPECT_TRUE(files({"cluster", "validate", ""}));
  EXPECT_TRUE(files({"--config-path", ""}));
  EXPECT_TRUE(files({"up", "--", "-f", ""}));
  EXPECT_FALSE(files({"backup", "wait", ""}));
  EXPECT_FALSE(files({"why", ""}));
  EXPECT_FALSE(files({"bundle", ""}));
  EXPECT_FALSE(files({"--cluster", ""}));
}

TEST(Completion, OfAnything_DoesNotFail) {
  EXPECT_EQ(Values({}), "");
  EXPECT_EQ(Values({"="}), Values({""}));
  EXPECT_EQ(Values({"--", ""}), "");
  EXPECT_EQ(Values({"--cluster"}), "--cluster ");
}

TEST(Completion, EveryShell_HasAScriptThatAsksTheProgram) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_NE(CompletionScript(shell).find("__complete -- "), std::string::npos) << shell;
  }
}

}  // namespace
}  // namespace mg::cli
