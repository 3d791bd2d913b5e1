#include "cli/output/error.h"
#include "cli/output/render.h"
#include "cli/output/table.h"
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

TEST(Error, SaysWhatWhyAndWhatNext) {
  absl::Status status =
      MakeError(absl::StatusCode::kUnavailable, "etcd did not start: port 2379 is taken by etcd (pid 7)",
                {.reason = "PORT_IN_USE", .hint = "stop it", .subject = "etcd", .log_tail = {"line"}});
  EXPECT_EQ(
      ErrorText(status, Format::kText, false),
      "error: etcd did not start: port 2379 is taken by etcd (pid 7)\nlast lines of etcd:\n  line\nnext: stop it\n");
  EXPECT_NE(ErrorText(status, Format::kJson, false).find("\"exitCode\": 6"), std::string::npos);
  EXPECT_NE(ErrorText(status, Format::kYaml, false).find("reason: PORT_IN_USE"), std::string::npos);
}

}  // namespace
}  // namespace mg::cli
