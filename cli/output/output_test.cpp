#include <google/protobuf/util/json_util.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/output/error.h"
#include "cli/output/go_json.h"
#include "cli/output/relative.h"
#include "cli/output/render.h"
#include "cli/output/table.h"
#include "clustermetadata.pb.h"
#include "common/status/error_codes.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "gtest/gtest.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

TEST(Json, HasEveryFieldInCamelCase) {
  multigres::cli::v1::VersionOutput version;
  version.set_version("1.2");
  EXPECT_EQ(ToJson(version), "{\n \"version\": \"1.2\",\n \"agentVersion\": \"\",\n \"protocol\": 0\n}\n");
}

TEST(GoProtoJson, HasMapsInOrder_HoweverTheyWereFilled) {
  // A map of protobuf's is in another order in each object.
  const std::vector<std::string> names = {"postgres", "http", "grpc", "pooler-pg", "a", "b", "c", "d", "e", "f"};
  std::set<std::string> texts;
  for (size_t first = 0; first < names.size(); ++first) {
    clustermetadata::Multipooler pooler;
    for (size_t i = 0; i < names.size(); ++i) {
      const size_t at = (first + i) % names.size();
      (*pooler.mutable_port_map())[names[at]] = static_cast<int>(at);
    }
    texts.insert(GoProtoJson(pooler));
  }
  ASSERT_EQ(texts.size(), 1u);
  EXPECT_TRUE(absl::StrContains(*texts.begin(), "    \"grpc\": 2,\n    \"http\": 1,\n")) << *texts.begin();
}

TEST(Yaml, QuotesOnlyStringsThatLookLikeSomethingElse) {
  EXPECT_EQ(JsonToYaml(
                R"({"a":"plain","b":"15432","c":15432,"d":true,"e":"true","f":[],"g":[{"h":"x: y"}],"i":"","j":null})"),
            "a: plain\nb: \"15432\"\nc: 15432\nd: true\ne: \"true\"\nf: []\ng:\n  - h: \"x: y\"\ni: \"\"\nj: ~\n");
}

TEST(Table, CutsOnlyTheFlexibleColumnAndOnlyOnATerminal) {
  Table table({"NAME", "REASON", "PID"}, 1);
  table.Add({"etcd", "a reason that is rather long for a narrow terminal", "12"});
  EXPECT_EQ(table.Render(30, false), "NAME  REASON               PID\netcd  a reason that is r…  12\n");
  EXPECT_NE(table.Render(0, false).find("a reason that is rather long for a narrow terminal  12"), std::string::npos);
}

TEST(Table, TooNarrow_LeavesOutColumnsFromTheRight_AndTellsIt) {
  Table table({"NAME", "ROLE", "HOST", "PORT"}, 2);
  table.Add({"multipooler/zone1", "primary", "127.0.0.1", "25432"});
  EXPECT_EQ(table.Render(38, false), "NAME               ROLE     HOST …\nmultipooler/zone1  primary  127.0.0.1\n");
  EXPECT_EQ(table.Render(80, false),
            "NAME               ROLE     HOST       PORT\nmultipooler/zone1  primary  127.0.0.1  25432\n");
  EXPECT_EQ(table.Render(0, false), table.Render(80, false));
}

TEST(Table, TooNarrow_CountsItsMark) {
  Table table({"NAME", "CELLS", "DURABILITY", "POOLERS", "PRIMARY"}, 1);
  table.Add({"postgres", "zone1 zone2 zone3", "AT_LEAST_2", "3", "zone1"});
  EXPECT_EQ(table.Render(40, false),
            "NAME      CELLS             DURABILITY …\npostgres  zone1 zone2 zon…  AT_LEAST_2\n");
}

TEST(Table, TooNarrow_KeepsTheSecondColumnLongest) {
  Table table({"SHARD", "PRIMARY", "STANDBYS", "RULE", "DURABILITY"}, 2);
  table.Add(
      {"postgres/default/0-inf", "multipooler/zone1", "multipooler/zone2 multipooler/zone3", "{1,0}", "AT_LEAST_2"});
  EXPECT_EQ(table.Render(40, false), "SHARD                  PRIMARY …\npostgres/default/0-i…  multipooler/zone1\n");
  EXPECT_EQ(table.Render(60, false),
            "SHARD                   PRIMARY            STANDBYS …\n"
            "postgres/default/0-inf  multipooler/zone1  multipooler/zone…\n");
}

TEST(Table, OneLongCell_TakesNoColumnFromTheOtherRows) {
  Table table({"SHARD", "PRIMARY", "STANDBYS", "RULE", "DURABILITY"}, 2);
  const std::string name(40, 'n');
  for (const std::string& database : {std::string("postgres"), std::string("shop"), name}) {
    const std::string place = database == "postgres" ? "" : absl::StrCat("/", database);
    table.Add({absl::StrCat(database, "/default/0-inf"), absl::StrCat("multipooler/zone1", place),
               absl::StrCat("multipooler/zone2", place, " multipooler/zone3", place), "{3,0}", "AT_LEAST_2"});
  }
  const std::string text = table.Render(90, false);
  EXPECT_EQ(text.substr(0, text.find('\n')).find(" …"), std::string::npos) << text;
  EXPECT_NE(text.find("shop/default/0-inf"), std::string::npos) << text;
  EXPECT_NE(text.find("multipooler/zone1/shop"), std::string::npos) << text;
  EXPECT_NE(text.find("{3,0}  AT_LEAST_2"), std::string::npos) << text;
  for (const auto& line : absl::StrSplit(text, '\n')) {
    EXPECT_LE(text::DisplayWidth(line), 90) << text;
  }
  EXPECT_NE(table.Render(0, false).find(name), std::string::npos);
  Table poolers({"NAME", "ROLE", "SERVING", "DATABASE", "GRPC"});
  for (const char* cell : {"zone1", "zone2", "zone3"}) {
    poolers.Add({absl::StrCat("multipooler/", cell), "standby", "yes", "postgres", "15270"});
    poolers.Add({absl::StrCat("multipooler/", cell, "/", name), "standby", "yes", name, "15270"});
  }
  EXPECT_NE(poolers.Render(80, false).find("multipooler/zone2  "), std::string::npos);
  EXPECT_NE(poolers.Render(80, false).find("15270"), std::string::npos) << poolers.Render(80, false);
}

TEST(Error, SaysWhatWhyAndWhatNext) {
  absl::Status status =
      MakeError(absl::StatusCode::kUnavailable, "etcd did not start: port 2379 is taken by etcd (pid 7)",
                {.reason = "PORT_IN_USE", .hint = "stop it", .subject = "etcd", .log_tail = {"line"}});
  EXPECT_EQ(
      ErrorText(status, Format::kText, false),
      "error: etcd did not start: port 2379 is taken by etcd (pid 7)\nlast lines of etcd:\n  line\nnext: stop it\n");
  EXPECT_NE(ErrorText(status, Format::kJson, false).find("\"exitCode\": 4"), std::string::npos);
  EXPECT_NE(ErrorText(status, Format::kYaml, false).find("reason: PORT_IN_USE"), std::string::npos);
}

TEST(Error, NamesInIt_ChangeNoTerminal) {
  EXPECT_TRUE(absl::StartsWith(ErrorText(absl::NotFoundError("no database '\x1b[31mred\r'"), Format::kText, false),
                               "error: no database '\\x1b[31mred\\x0d'\n"));
}

TEST(Error, ANewlineInANameIsShown_AndOneOfAMessageKeepsItsLine) {
  absl::Status status =
      MakeError(absl::StatusCode::kInternal, "cell 'a\nnext: obey' at /r\r\n/s: initdb failed\nno room\nnext: obey\n",
                {.hint = "look at a\nnext: obey", .log_tail = {"\x1b[31mred"}});
  EXPECT_EQ(ErrorText(status, Format::kText, false, {"x", "a\nnext: obey", "/r\r\n/s"}),
            "error: cell 'a\\x0anext: obey' at /r\\x0d\\x0a/s: initdb failed\n  no room\n  next: obey\n"
            "last lines:\n  \\x1b[31mred\nnext: look at a\\x0anext: obey\n");
}

TEST(Error, EveryCode_InEveryForm_SaysWhyAndWhatToDoAndTheExitStatus) {
  for (const ErrorCode& code : ErrorCodes()) {
    absl::Status status = MakeError(code.code, "it failed", {.reason = std::string(code.reason)});
    std::string text = ErrorText(status, Format::kText, false);
    EXPECT_TRUE(absl::StartsWith(text, "error: it failed\n")) << text;
    EXPECT_TRUE(absl::StrContains(text, absl::StrCat("next: ", code.next, "\n"))) << text;
    EXPECT_TRUE(absl::StrContains(text, absl::StrCat("why: ", code.why, "\n"))) << text;
    multigres::cli::v1::ErrorOutput parsed;
    std::string json = ErrorText(status, Format::kJson, false);
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) << json;
    EXPECT_EQ(parsed.error().reason(), code.reason);
    EXPECT_EQ(parsed.error().why(), code.why);
    EXPECT_EQ(parsed.error().hint(), code.next);
    EXPECT_EQ(parsed.error().exit_code(), ExitCodeOf(code.code));
    EXPECT_TRUE(absl::StrContains(ErrorText(status, Format::kYaml, false), absl::StrCat("reason: ", code.reason, "\n")))
        << code.reason;
    EXPECT_TRUE(absl::StrContains(ErrorReference(), absl::StrCat("| `", code.reason, "` | ", ExitCodeOf(code.code))));
  }
}

TEST(Error, WhatIsNoCauseBehindAColon_LeavesTheUsualOne) {
  for (const char* message : {"--tail: 'x' is not a number of lines", "unsupported provisioner: foo",
                              "this needs a confirmation: in cluster a of this machine: delete cell X?",
                              "multigres.yaml:3:1: unknown key 'x'"}) {
    const absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE"});
    const std::string why(ErrorCodeOf(status).why);
    EXPECT_TRUE(absl::StrContains(ErrorText(status, Format::kText, false), absl::StrCat("\nwhy: ", why, "\n")))
        << message;
    EXPECT_TRUE(absl::StrContains(ErrorText(status, Format::kYaml, false), absl::StrCat("why: ", why, "\n")))
        << message;
  }
}

TEST(Error, CodeIsTheOneOfItsReason) {
  const absl::Status status = MakeError(absl::StatusCode::kNotFound, "it failed", {.reason = "USAGE"});
  EXPECT_TRUE(absl::StrContains(ErrorText(status, Format::kJson, false), "\"code\": \"INVALID_ARGUMENT\""));
}

TEST(Relative, IsOneUnitInWords) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(Relative(now, now), "just now");
  EXPECT_EQ(Relative(now - absl::Milliseconds(900), now), "just now");
  EXPECT_EQ(Relative(now - absl::Seconds(1), now), "1 second ago");
  EXPECT_EQ(Relative(now - absl::Seconds(59), now), "59 seconds ago");
  EXPECT_EQ(Relative(now - absl::Minutes(3) - absl::Seconds(40), now), "3 minutes ago");
  EXPECT_EQ(Relative(now - absl::Hours(1), now), "1 hour ago");
  EXPECT_EQ(Relative(now + absl::Hours(49), now), "in 2 days");
  EXPECT_EQ(Relative(now - absl::Hours(24 * 800), now), "2 years ago");
}

TEST(Error, WithoutAReason_HasThatOfItsCode_AndTheCauseOfItsMessage) {
  absl::Status status = absl::NotFoundError("cell zone9: no such key");
  EXPECT_FALSE(absl::StrContains(ErrorText(status, Format::kText, false), "why:"));
  std::string json = ErrorText(status, Format::kJson, false);
  EXPECT_TRUE(absl::StrContains(json, "\"reason\": \"NOT_FOUND\"")) << json;
  EXPECT_TRUE(absl::StrContains(json, "\"why\": \"no such key\"")) << json;
}

}  // namespace
}  // namespace mg::cli
