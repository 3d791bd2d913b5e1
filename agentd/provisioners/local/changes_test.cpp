#include "agentd/provisioners/local/changes.h"

#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/model_for_tests.h"
#include "gtest/gtest.h"

namespace mg::local {
namespace {

using Expected = std::vector<std::string>;

std::vector<std::string> Words(const std::vector<v1::SettingChange>& changes) {
  std::vector<std::string> words;
  for (const v1::SettingChange& change : changes) {
    words.push_back(absl::StrCat(change.name(), ": ", change.before(), " -> ", change.after()));
  }
  return words;
}

shim::LaunchSpec LaunchOf(const Model& model, const std::string& component) {
  absl::StatusOr<shim::LaunchSpec> launch = LaunchSpecOf(model, *model.Find(component));
  EXPECT_TRUE(launch.ok()) << launch.status();
  return launch.ok() ? *launch : shim::LaunchSpec{};
}

TEST(CompareLaunchesTest, TheSameModel_HasNoChange) {
  Model model = ModelForTests(3);
  for (const v1::ComponentSpec& spec : model.specs) {
    if (!spec.observed_only()) {
      EXPECT_EQ(Words(CompareLaunches(LaunchOf(model, spec.name()), LaunchOf(model, spec.name()))), Expected{})
          << spec.name();
    }
  }
}

TEST(CompareLaunchesTest, AnEditedFlag_IsNamedWithBothValues) {
  Model model = ModelForTests(1), edited = ModelForTests(1);
  edited.input.config.log_level = "debug";
  edited.input.ports["multigateway/zone1"]["postgres"] = 16000;
  edited.specs = MakeSpecs(edited.input);
  EXPECT_EQ(Words(CompareLaunches(LaunchOf(model, "multigateway/zone1"), LaunchOf(edited, "multigateway/zone1"))),
            (Expected{"log-level: info -> debug", "pg-port: 15432 -> 16000"}));
  EXPECT_EQ(Words(CompareLaunches(LaunchOf(model, "multiorch/zone1"), LaunchOf(edited, "multiorch/zone1"))),
            (Expected{"log-level: info -> debug"}));
}

TEST(CompareLaunchesTest, TheAgentsOwnEnvironment_DoesNotCount) {
  Model model = ModelForTests(1), other = ModelForTests(1);
  other.input.environment = {{"PATH", "/elsewhere"}, {"TZ", "UTC"}};
  other.specs = MakeSpecs(other.input);
  EXPECT_EQ(Words(CompareLaunches(LaunchOf(model, "pgctld/zone1"), LaunchOf(other, "pgctld/zone1"))), Expected{});
  other.input.config.initdb_args = {"--no-sync"};
  other.specs = MakeSpecs(other.input);
  EXPECT_EQ(Words(CompareLaunches(LaunchOf(model, "pgctld/zone1"), LaunchOf(other, "pgctld/zone1"))),
            (Expected{"POSTGRES_INITDB_ARGS:  -> --no-sync"}));
}

TEST(CompareLaunchesTest, WhatAnEarlierVersionDidNotGive_IsNoChange) {
  Model before = ModelForTests(1), now = ModelForTests(1), moved = ModelForTests(1);
  now.input.provisioner = "unix:/run/agent.sock";
  now.specs = MakeSpecs(now.input);
  moved.input.provisioner = "unix:/elsewhere/agent.sock";
  moved.specs = MakeSpecs(moved.input);
  shim::LaunchSpec old = LaunchOf(before, "multiadmin");
  EXPECT_EQ(Words(CompareLaunches(old, LaunchOf(now, "multiadmin"))), Expected{});
  EXPECT_EQ(Words(CompareLaunches(LaunchOf(now, "multiadmin"), LaunchOf(moved, "multiadmin"))),
            (Expected{"provisioner: unix:/run/agent.sock -> unix:/elsewhere/agent.sock"}));
  old = LaunchOf(before, "multigateway/zone1");
  std::erase_if(old.environment, [](const std::string& word) { return word.starts_with("MT_DEFAULT_DATABASE="); });
  EXPECT_EQ(Words(CompareLaunches(old, LaunchOf(before, "multigateway/zone1"))), Expected{});
}

TEST(CompareLaunchesTest, AnOrchThatWatchesOneDatabaseMore_IsToldFromOtherChanges) {
  Model before = ModelForTests(2), after = ModelForTests(2);
  AddDatabase(&after.input, "shop", {"zone1"});
  after.specs = MakeSpecs(after.input);
  v1::ComponentChange change;
  change.set_component("multiorch/zone1");
  for (const v1::SettingChange& setting :
       CompareLaunches(LaunchOf(before, "multiorch/zone1"), LaunchOf(after, "multiorch/zone1"))) {
    *change.add_settings() = setting;
  }
  EXPECT_TRUE(OnlyWatchesOthers(change)) << DescribeChange(change);
  change.add_settings()->set_name("log-level");
  EXPECT_FALSE(OnlyWatchesOthers(change));
}

TEST(CompareSettingsTest, ComputedMemory_CountsOnlyWhenItIsGiven) {
  config::ClusterConfig config;
  std::string now = PostgresSettings(config, 3, 8ull << 30);
  std::string later = PostgresSettings(config, 3, 1ull << 30);
  ASSERT_NE(now, later);
  EXPECT_EQ(Words(CompareSettings(now, later, config.postgres_settings)), Expected{});
  config.postgres_settings = {{"shared_buffers", "64MB"}, {"work_mem", "8MB"}, {"application_name", "it's"}};
  EXPECT_EQ(Words(CompareSettings(now, PostgresSettings(config, 3, 0), config.postgres_settings)),
            (Expected{"application_name:  -> it''s", "shared_buffers: 170MB -> 64MB", "work_mem:  -> 8MB"}));
}

TEST(SettingsTest, WhatNeedsARestart_AndWhatStopsReplay) {
  EXPECT_TRUE(NeedsRestart("max_connections"));
  EXPECT_FALSE(NeedsRestart("work_mem"));
  v1::SettingChange less;
  less.set_name("max_connections");
  less.set_before("200");
  less.set_after("50");
  EXPECT_TRUE(StopsReplay(less));
  less.set_after("300");
  EXPECT_FALSE(StopsReplay(less));
}

TEST(RefusalTest, NamesTheComponentAndTheReason) {
  v1::ComponentChange change;
  change.set_component("etcd");
  change.set_action("refuse");
  change.set_reason("it holds the records");
  absl::Status status = Refusal({change});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "etcd: refuse: it holds the records");
  change.set_action("restart");
  EXPECT_TRUE(Refusal({change}).ok());
}

}  // namespace
}  // namespace mg::local
