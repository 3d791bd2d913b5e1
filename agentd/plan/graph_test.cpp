#include "agentd/plan/graph.h"

#include <gtest/gtest.h>

namespace mg::plan {
namespace {

using Ids = std::vector<std::string>;

TEST(Graph_, WhenStepsAreIndependent_AllAreReadyAtOnce) {
  absl::StatusOr<Graph> graph = Graph::Build({{"etcd", {}}, {"pgctld/zone1", {}}, {"topology", {"etcd"}}});
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->TakeReady(), (Ids{"etcd", "pgctld/zone1"}));
  EXPECT_EQ(graph->TakeReady(), Ids{}) << "each step is given once";
}

TEST(Graph_, WhenAllPredecessorsAreDone_AStepBecomesReady) {
  absl::StatusOr<Graph> graph = Graph::Build({{"c", {"a", "b"}}, {"a", {}}, {"b", {}}});
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->Order(), (Ids{"a", "b", "c"}));
  (void)graph->TakeReady();
  graph->Done("a");
  EXPECT_EQ(graph->TakeReady(), Ids{});
  graph->Done("b");
  graph->Done("b");
  EXPECT_EQ(graph->TakeReady(), Ids{"c"});
  EXPECT_FALSE(graph->Finished());
  graph->Done("c");
  EXPECT_TRUE(graph->Finished());
}

TEST(Graph_, WhenAStepFails_OnlyWhatComesAfterItIsGivenUp) {
  absl::StatusOr<Graph> graph =
      Graph::Build({{"etcd", {}}, {"topology", {"etcd"}}, {"pooler", {"topology", "pgctld"}}, {"pgctld", {}}});
  ASSERT_TRUE(graph.ok());
  (void)graph->TakeReady();
  graph->Failed("etcd");
  EXPECT_EQ(graph->GivenUp(), (Ids{"topology", "pooler"}));
  EXPECT_FALSE(graph->Finished());
  graph->Done("pgctld");
  EXPECT_EQ(graph->TakeReady(), Ids{});
  EXPECT_TRUE(graph->Finished());
}

TEST(Graph_, WhenStepsWaitForEachOther_TheCycleIsNamed) {
  absl::StatusOr<Graph> graph = Graph::Build({{"start", {}}, {"a", {"start", "c"}}, {"b", {"a"}}, {"c", {"b"}}});
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(std::string(graph.status().message()), "steps wait for each other: a -> c -> b -> a");
}

TEST(Graph_, WhenAnIdIsUnknownOrDouble_IsAnError) {
  EXPECT_EQ(std::string(Graph::Build({{"a", {"x"}}}).status().message()), "the step a comes after x, which is unknown");
  EXPECT_EQ(std::string(Graph::Build({{"a", {}}, {"a", {}}}).status().message()), "the step a is there twice");
}

}  // namespace
}  // namespace mg::plan
