#include "cli/args/parser.h"

#include <array>

#include "absl/strings/str_split.h"
#include "cli/args/help.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace mg::cli {
namespace {

std::vector<Command> Commands() {
  return {
      {.path = "up",
       .summary = "bring it up",
       .flags = {{.name = "cells", .value = "N", .help = "number of cells"}, {.name = "dry-run", .help = "only show"}},
       .examples = {{"multigres up", "bring it up"}},
       .aliases = {"cluster up"},
       .group = "CLUSTER"},
      {.path = "logs",
       .summary = "show logs",
       .positionals = {{.name = "NAME", .help = "components", .repeated = true}},
       .flags = {{.name = "watch", .letter = 'w', .help = "go on"},
                 {.name = "level", .value = "LEVEL", .help = "least level", .choices = {"info", "error"}},
                 {.name = "kinds", .value = "LIST", .help = "kinds", .repeated = true}}},
      {.path = "topology cell get",
       .summary = "show one",
       .positionals = {{.name = "NAME", .help = "its name", .required = true}}},
  };
}

std::string HintOf(const absl::Status& status) { return DetailOf(status).value_or(ErrorDetail{}).hint; }

TEST(Parse, FlagsMayStandAnywhere) {
  std::vector<Command> commands = Commands();
  for (const auto& words : std::vector<std::vector<std::string>>{{"up", "--cells", "5", "--json"},
                                                                 {"--json", "up", "--cells=5"},
                                                                 {"cluster", "--json", "up", "--cells", "5"}}) {
    absl::StatusOr<ParseResult> result = Parse(commands, words);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->arguments.command, &commands[0]);
    EXPECT_EQ(result->arguments.path, words[0] == "cluster" ? "cluster up" : "up");
    EXPECT_EQ(result->arguments.Get("cells"), "5");
    EXPECT_TRUE(result->arguments.Has("json"));
    EXPECT_FALSE(result->arguments.Has("dry-run"));
  }
}

TEST(Parse, GlobalFlagWithValueBeforeTheCommand_DoesNotEatIt) {
  std::vector<Command> commands = Commands();
  absl::StatusOr<ParseResult> result = Parse(commands, {"--cluster", "up", "up"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->arguments.Get("cluster"), "up");
}

TEST(Parse, MistypedCommand_SuggestsTheNearest) {
  std::vector<Command> commands = Commands();
  absl::Status status = Parse(commands, {"lgos"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HintOf(status), "did you mean 'multigres logs'?");
  EXPECT_EQ(HintOf(Parse(commands, {"topology", "cell", "gte"}).status()),
            "did you mean 'multigres topology cell get'?");
}

TEST(Parse, MistypedFlag_SuggestsTheNearest) {
  std::vector<Command> commands = Commands();
  EXPECT_EQ(HintOf(Parse(commands, {"up", "--cels", "3"}).status()), "did you mean '--cells'?");
  EXPECT_EQ(HintOf(Parse(commands, {"up", "--jsno"}).status()), "did you mean '--json'?");
}

TEST(Parse, ValueOutsideTheChoices_IsRefused) {
  std::vector<Command> commands = Commands();
  EXPECT_EQ(HintOf(Parse(commands, {"logs", "--level", "loud"}).status()), "use one of: info, error");
}

TEST(Parse, TwoFormats_ExcludeEachOther) {
  std::vector<Command> commands = Commands();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"up", "--json", "--yaml"}, {"--yaml", "up", "-o", "json"}, {"up", "--json", "--output=text"}}) {
    absl::Status status = Parse(commands, words).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(HintOf(status), "give one of them");
  }
  EXPECT_EQ(Parse(commands, {"up", "--json", "--output", "yaml"}).status().message(),
            "--output yaml and --json exclude each other");
  EXPECT_TRUE(Parse(commands, {"up", "--json", "--output", "json"}).ok());
}

TEST(Parse, ValuesThatAreMissingOrTooMany_AreSentences) {
  std::vector<Command> commands = Commands();
  auto message = [&](const std::vector<std::string>& words) {
    return std::string(Parse(commands, words).status().message());
  };
  EXPECT_EQ(message({"up", "--output"}), "--output needs a value");
  EXPECT_EQ(HintOf(Parse(commands, {"up", "--output"}).status()), "use one of: text, json, yaml");
  EXPECT_EQ(HintOf(Parse(commands, {"up", "--cells"}).status()), "write --cells N: number of cells");
  EXPECT_EQ(message({"logs", "-wo"}), "--output needs a value");
  EXPECT_EQ(message({"logs", "--kinds", "-w", "--level"}), "--level needs a value");
  EXPECT_EQ(message({"up", "--dry-run=x"}), "--dry-run takes no value");
}

TEST(Parse, CommandBehindTwoDashes_IsToldToComeFirst) {
  std::vector<Command> commands = Commands();
  absl::Status status = Parse(commands, {"--", "topology", "cell", "get", "x"}).status();
  EXPECT_EQ(status.message(), "'multigres' needs a command before the '--'");
  EXPECT_EQ(HintOf(status), "leave out the '--': 'multigres topology cell get'");
  EXPECT_EQ(HintOf(Parse(commands, {"topology", "--", "cell"}).status()), "see 'multigres topology --help'");
  EXPECT_EQ(HintOf(Parse(commands, {"--", "x"}).status()), "see 'multigres --help'");
}

TEST(Parse, UnknownFlagBeforeTheCommand_IsWhatIsNamed) {
  std::vector<Command> commands = Commands();
  for (const auto& [words, message, hint] : std::vector<std::array<std::string, 3>>{
           {"--contxt x up", "unknown flag '--contxt' for 'multigres'", "did you mean '--context'?"},
           {"--json --contxt x up", "unknown flag '--contxt' for 'multigres'", "did you mean '--context'?"},
           {"-c x up", "unknown flag '-c' for 'multigres'",
            "a command's own flags stand behind it; see 'multigres --help'"},
           {"-V", "unknown flag '-V' for 'multigres'", "did you mean '--version'?"},
           {"--timeout 3s lgos", "unknown command 'lgos' for 'multigres'", "did you mean 'multigres logs'?"},
           {"get logs", "unknown command 'get' for 'multigres'", ""}}) {
    absl::Status status = Parse(commands, absl::StrSplit(words, ' ')).status();
    EXPECT_EQ(status.message(), message);
    EXPECT_TRUE(hint.empty() || HintOf(status) == hint) << words << ": " << HintOf(status);
  }
}

TEST(Parse, ShortFlagsInEveryForm) {
  std::vector<Command> commands = Commands();
  for (const std::string words :
       {"-qo json logs", "logs -q -o=json", "logs -qojson", "-o json -q logs", "-o=json logs -q"}) {
    absl::StatusOr<ParseResult> result = Parse(commands, absl::StrSplit(words, ' '));
    ASSERT_TRUE(result.ok()) << words << ": " << result.status();
    EXPECT_EQ(result->arguments.Get("output"), "json") << words;
    EXPECT_TRUE(result->arguments.Has("quiet")) << words;
  }
  EXPECT_FALSE(Parse(commands, {"logs", "-w=false"})->arguments.Has("watch"));
  EXPECT_EQ(Parse(commands, {"logs", "--level", "-w=x"}).status().message(), "'-w=x' is not a value of --level");
}

TEST(Parse, NounBehindItsVerb_IsToldInOrder) {
  std::vector<Command> commands = Commands();
  commands.push_back({.path = "pooler list", .summary = "list them"});
  commands.push_back({.path = "pooler get", .summary = "show one"});
  EXPECT_EQ(HintOf(Parse(commands, {"get", "poolers"}).status()), "did you mean 'multigres pooler list'?");
  EXPECT_EQ(HintOf(Parse(commands, {"get", "pooler", "x"}).status()), "did you mean 'multigres pooler get'?");
  EXPECT_EQ(HintOf(Parse(commands, {"list", "poolers"}).status()), "did you mean 'multigres pooler list'?");
}

TEST(Parse, WhatIsNoUtf8_IsRefused) {
  std::vector<Command> commands = Commands();
  absl::Status status = Parse(commands, {"topology", "cell", "get", "a\xff"}).status();
  EXPECT_EQ(status.message(), "'a\\xff' is not UTF-8");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Parse(commands, {"logs", "zürich", "--", "\xff"}).ok());
}

TEST(Parse, RepeatedFlag_SplitsAtCommas) {
  std::vector<Command> commands = Commands();
  absl::StatusOr<ParseResult> result = Parse(commands, {"logs", "a", "--kinds", "x,y", "--kinds", "z", "b", "-w"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->arguments.GetAll("kinds"), (std::vector<std::string>{"x", "y", "z"}));
  EXPECT_EQ(result->arguments.positionals, (std::vector<std::string>{"a", "b"}));
}

TEST(Parse, Positionals_AreCounted) {
  std::vector<Command> commands = Commands();
  EXPECT_EQ(Parse(commands, {"topology", "cell", "get"}).status().message(),
            "'multigres topology cell get' needs NAME");
  EXPECT_FALSE(Parse(commands, {"up", "now"}).ok());
}

TEST(Parse, HelpInAllItsForms) {
  std::vector<Command> commands = Commands();
  EXPECT_EQ(Parse(commands, {})->kind, ParseResult::Kind::kHelp);
  EXPECT_EQ(Parse(commands, {"help", "up"})->help_for, "up");
  EXPECT_EQ(Parse(commands, {"cluster", "up", "-h"})->help_for, "up");
  EXPECT_EQ(Parse(commands, {"topology", "--help"})->help_for, "topology");
  EXPECT_EQ(Parse(commands, {"--version"})->kind, ParseResult::Kind::kVersion);
  EXPECT_EQ(Parse(commands, {"topology"}).status().message(), "'multigres topology' needs a command");
}

TEST(Help, ShowsUsageFlagsAndExamples) {
  std::string help = HelpText(Commands(), "up", false);
  for (const char* part :
       {"USAGE\n  multigres up [flags]", "--cells N", "ALIASES\n  multigres cluster up", "$ multigres up"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << " in\n" << help;
  }
  EXPECT_NE(HelpText(Commands(), "", false).find("CLUSTER\n  up  bring it up"), std::string::npos);
}

}  // namespace
}  // namespace mg::cli
