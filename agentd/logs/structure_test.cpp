#include "agentd/logs/structure.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "agentd/logs/runs.h"
#include "common/fs/fs.h"
#include "common/logs/level.h"

namespace mg::logs {
namespace {

multigres::agent::v1::LogRecord Of(const std::string& text) {
  multigres::agent::v1::LogRecord record;
  record.set_level(ParseLevel(text));
  FillStructure(text, &record);
  return record;
}

TEST(Gist_, IsTheMessageWithItsError_InOneShortLine) {
  EXPECT_EQ(Gist(R"({"time":"2026-11-23T16:00:00Z","level":"ERROR","msg":"cannot listen","err":"port 1: in use"})", 80),
            "cannot listen: port 1: in use");
  EXPECT_EQ(Gist("panic: no\x01 \xff", 80), "panic: no\x01 \xef\xbf\xbd");
  EXPECT_EQ(Gist("0123456789", 5), "0123…");
}

TEST(FillStructure, OfSlogAndZap_TakesMessageAndFields) {
  auto record = Of(R"({"time":"2026-11-23T16:00:00Z","level":"WARN","msg":"slow \"x\"","ms":12.5,"who":{"a":[1]}})");
  EXPECT_EQ(record.message(), "slow \"x\"");
  EXPECT_EQ(record.level(), "warn");
  EXPECT_EQ(record.fields().fields().count("level"), 0u);
  EXPECT_EQ(record.fields().fields().at("ms").number_value(), 12.5);
  EXPECT_EQ(record.fields().fields().at("who").struct_value().fields_size(), 1);
  record = Of(R"({"level":"info","ts":"2026-11-23T16:00:00.1Z","caller":"embed/serve.go:98","msg":"ready"})");
  EXPECT_EQ(record.message(), "ready");
  EXPECT_EQ(record.fields().fields().at("caller").string_value(), "embed/serve.go:98");
}

TEST(FillStructure, OfEtcdsOlderForm_TakesPackageAndMessage) {
  auto record = Of("2026-11-28 22:27:31.517255 W | etcdserver/api/etcdhttp: /health error; no leader");
  EXPECT_EQ(record.message(), "/health error; no leader");
  EXPECT_EQ(record.level(), "warn");
  EXPECT_EQ(record.fields().fields().at("package").string_value(), "etcdserver/api/etcdhttp");
}

TEST(FillStructure, OfPostgres_TakesSeverityAndWho) {
  auto record = Of("2026-11-23 16:00:00.123 UTC [42] app@shop FATAL:  no");
  EXPECT_EQ(record.message(), "no");
  EXPECT_EQ(record.level(), "error");
  EXPECT_EQ(record.fields().fields().at("severity").string_value(), "FATAL");
  EXPECT_EQ(record.fields().fields().at("pid").number_value(), 42);
  EXPECT_EQ(record.fields().fields().at("database").string_value(), "shop");
}

TEST(FillStructure, OfAnythingElse_IsTheLine) {
  for (const char* text : {"", "hello", "{\"half\":", "[1]", "\tindented"}) {
    EXPECT_EQ(Of(text).message(), text);
    EXPECT_FALSE(Of(text).has_fields());
  }
  EXPECT_EQ(Of("\xff").message(), "\xef\xbf\xbd");
  std::mt19937 random(5);
  const std::string whole = R"({"time":"x","level":"WARN","msg":"m","a":{"b":[1,2,"\u00e4"]}})";
  for (int i = 0; i < 2000; ++i) {
    std::string text = whole.substr(0, random() % (whole.size() + 1));
    for (unsigned n = random() % 4; n > 0 && !text.empty(); --n) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    std::string bytes;
    EXPECT_TRUE(Of(text).SerializeToString(&bytes)) << text;
  }
}

TEST(PreviousRuns, AreTheLastButOne) {
  char name[] = "/tmp/mg-runs-XXXXXX";
  std::string root = ::mkdtemp(name);
  Source once{.name = "once", .directory = root + "/once"}, twice{.name = "twice", .directory = root + "/twice"};
  EXPECT_EQ(PreviousRuns({once, twice}).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(MakeDirectories(once.directory, 0700).ok());
  ASSERT_TRUE(MakeDirectories(twice.directory, 0700).ok());
  std::ofstream(once.directory + "/runs") << "1000\n";
  std::ofstream(twice.directory + "/runs") << "1000\ntorn\n2000\n3000\n";
  auto chosen = PreviousRuns({once, twice});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  ASSERT_EQ(chosen->size(), 1u);
  EXPECT_EQ((*chosen)[0].name, "twice");
  EXPECT_EQ((*chosen)[0].since, absl::FromUnixNanos(2000));
  EXPECT_EQ((*chosen)[0].until, absl::FromUnixNanos(3000));
  (void)RemoveTree(root);
}

}  // namespace
}  // namespace mg::logs
