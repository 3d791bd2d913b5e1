#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "agentd/plan/graph.h"
#include "agentd/provisioners/local/bring_up.h"
#include "agentd/provisioners/local/model_for_tests.h"

namespace mg::local {
namespace {

std::vector<std::string> IdsOf(const std::vector<PlannedStep>& steps) {
  std::vector<std::string> ids;
  for (const PlannedStep& step : steps) {
    ids.push_back(step.id);
  }
  return ids;
}

plan::Graph GraphOf(const std::vector<PlannedStep>& steps) {
  std::vector<plan::Node> nodes;
  for (const PlannedStep& step : steps) {
    nodes.push_back({.id = step.id, .after = step.after});
  }
  absl::StatusOr<plan::Graph> graph = plan::Graph::Build(nodes);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

TEST(PlanSteps_, ForEveryNumberOfCells_IsAGraphInOrder) {
  for (int cells = 1; cells <= 7; ++cells) {
    Model model = ModelForTests(cells);
    std::vector<PlannedStep> steps = PlanSteps(model, Part::kAll, {});
    GraphOf(steps);
    std::set<std::string> seen;
    for (const PlannedStep& step : steps) {
      for (const std::string& before : step.after) {
        EXPECT_TRUE(seen.count(before)) << step.id << " is listed before " << before;
      }
      seen.insert(step.id);
    }
  }
}

TEST(PlanSteps_, WhatNeedsNoEtcd_StartsBesideIt) {
  Model model = ModelForTests(3);
  plan::Graph graph = GraphOf(PlanSteps(model, Part::kAll, {}));
  EXPECT_EQ(graph.TakeReady(), std::vector<std::string>{"preflight"});
  graph.Done("preflight");
  graph.Done(graph.TakeReady()[0]);
  EXPECT_EQ(absl::StrJoin(graph.TakeReady(), " "), "etcd pgctld/zone1 pgctld/zone2 pgctld/zone3");
  graph.Done("etcd");
  EXPECT_EQ(absl::StrJoin(graph.TakeReady(), " "), "topology");
  graph.Done("topology");
  EXPECT_EQ(absl::StrJoin(graph.TakeReady(), " "),
            "multiadmin multiorch/zone1 multigateway/zone1 multiorch/zone2 multigateway/zone2 multiorch/zone3 "
            "multigateway/zone3");
  graph.Done("pgctld/zone2");
  EXPECT_EQ(absl::StrJoin(graph.TakeReady(), " "), "postgres/zone2 multipooler/zone2");
}

TEST(PlanSteps_, OrchsThatAreStartedAnew_FollowOneAnother) {
  Model model = ModelForTests(3);
  model.record.set_initialised(true);
  model.to_restart = {"multiorch/zone1", "multiorch/zone3", "multigateway/zone1"};
  std::set<std::string> running;
  for (const v1::ComponentSpec& spec : model.specs) {
    running.insert(spec.name());
  }
  for (const PlannedStep& step : PlanSteps(model, Part::kAll, running)) {
    if (step.id.starts_with("multiorch/")) {
      bool waits = std::count(step.after.begin(), step.after.end(), "multiorch/zone1") != 0;
      EXPECT_EQ(waits, step.id == "multiorch/zone3") << step.id;
    }
  }
}

TEST(PlanSteps_, TheTwoParts_AreTheWhole) {
  Model model = ModelForTests(3);
  std::vector<std::string> all = IdsOf(PlanSteps(model, Part::kAll, {}));
  std::vector<std::string> parts = IdsOf(PlanSteps(model, Part::kBase, {}));
  std::vector<std::string> database = IdsOf(PlanSteps(model, Part::kDatabase, {}));
  parts.insert(parts.end(), database.begin(), database.end());
  EXPECT_EQ(std::set<std::string>(parts.begin(), parts.end()), std::set<std::string>(all.begin(), all.end()));
}

TEST(PlanSteps_, OneCell_WaitsForNoReplication) {
  Model model = ModelForTests(1);
  std::vector<std::string> ids = IdsOf(PlanSteps(model, Part::kAll, {}));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), "replication"), 0);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), "sync"), 1);
}

TEST(PlanSteps_, WhatRuns_IsKept) {
  Model model = ModelForTests(1);
  model.record.set_initialised(true);
  for (const PlannedStep& step : PlanSteps(model, Part::kAll, {"etcd"})) {
    EXPECT_NE(step.id, "sync") << "data that is on disk already";
    if (step.id == "etcd") {
      EXPECT_EQ(step.action, "keep");
    } else if (step.id == "multiadmin") {
      EXPECT_EQ(step.action, "start");
    }
  }
}

TEST(PlanSteps_, OfALaterDatabase_AreItsOwnServersAndWhatIsShared) {
  Model model = ModelForTests(3);
  model.record.set_initialised(true);
  AddDatabase(&model.input, "shop", {"zone1", "zone2"});
  model.specs = MakeSpecs(model.input);
  GraphOf(PlanSteps(model, Part::kAll, {}));
  std::vector<PlannedStep> steps = PlanSteps(model, Part::kDatabase, {}, "shop");
  GraphOf(steps);
  std::vector<std::string> ids = IdsOf(steps);
  std::set<std::string> found(ids.begin(), ids.end());
  for (const char* wanted : {"etcd", "pgctld/zone1/shop", "postgres/zone2/shop", "multipooler/zone1/shop",
                             "multiorch/zone3", "replication/shop", "serve/zone3/shop", "sync"}) {
    EXPECT_TRUE(found.count(wanted)) << wanted;
  }
  for (const char* other : {"multiadmin", "postgres/zone1", "pgctld/zone1", "multipooler/zone3", "serve/zone1",
                            "replication", "postgres/zone3/shop"}) {
    EXPECT_FALSE(found.count(other)) << other;
  }
  model.input.databases[0].leaving = true;
  ids = IdsOf(PlanSteps(model, Part::kAll, {}));
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [](const std::string& id) { return id.ends_with("/shop"); }), 0)
      << "nobody starts what leaves";
}

TEST(PlanResponse_, ShowsTheCommandLineOfWhatItStarts) {
  Model model = ModelForTests(1);
  v1::PlanClusterResponse plan = PlanResponse(model, PlanSteps(model, Part::kAll, {}));
  EXPECT_EQ(plan.root_directory(), "/srv/mg");
  int with_component = 0;
  for (const v1::PlanStep& step : plan.steps()) {
    with_component += step.has_component() ? 1 : 0;
    EXPECT_FALSE(step.summary().empty()) << step.id();
  }
  EXPECT_EQ(with_component, 7);
}

}  // namespace
}  // namespace mg::local
