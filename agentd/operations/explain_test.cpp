#include "agentd/operations/explain.h"

#include <gtest/gtest.h>

namespace mg::operations {
namespace {

namespace agent = multigres::agent::v1;
namespace v1 = multigres::provisioner::v1;

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    Add("etcd", v1::COMPONENT_KIND_ETCD, {});
    Add("pgctld/zone1", v1::COMPONENT_KIND_PGCTLD, {});
    Add("postgres/zone1", v1::COMPONENT_KIND_POSTGRES, {"pgctld/zone1"});
    Add("multipooler/zone1", v1::COMPONENT_KIND_MULTIPOOLER, {"etcd", "pgctld/zone1"});
  }
  void Add(const std::string& name, v1::ComponentKind kind, const std::vector<std::string>& after) {
    v1::ComponentSpec spec;
    spec.set_name(name);
    spec.set_kind(kind);
    spec.set_cell("zone1");
    for (const std::string& needed : after) {
      spec.add_after(needed);
    }
    specs_.push_back(spec);
    v1::ComponentStatus* component = status_.add_components();
    component->set_name(name);
    component->set_state("running");
    component->set_desired("running");
    component->set_ready(true);
    component->set_pid(7);
  }
  void Break(const std::string& name, const std::string& state, const std::string& reason, int pid) {
    for (v1::ComponentStatus& component : *status_.mutable_components()) {
      if (component.name() == name) {
        component.set_ready(false);
        component.set_state(state);
        component.set_reason(reason);
        component.set_pid(pid);
      }
    }
  }
  std::vector<v1::ComponentSpec> specs_;
  v1::ClusterStatus status_;
};

TEST_F(ExplainTest, WhatIsReady_HasNoChainAndKnowsWhoNeedsIt) {
  agent::ExplainComponentResponse why = Explain(specs_, status_, {}, "pgctld/zone1");
  EXPECT_EQ(why.summary(), "pgctld/zone1 is ready");
  EXPECT_EQ(why.chain_size(), 0);
  ASSERT_EQ(why.dependants_size(), 2);
  EXPECT_EQ(why.dependants(0), "multipooler/zone1");
}

TEST_F(ExplainTest, TheFault_IsFoundDownTheChain) {
  Break("multipooler/zone1", "unhealthy", "postgres does not answer", 7);
  Break("postgres/zone1", "failed", "was killed by signal 9 (Killed)", 0);
  agent::ExplainComponentResponse why = Explain(specs_, status_, {}, "multipooler/zone1");
  ASSERT_EQ(why.chain_size(), 2);
  EXPECT_FALSE(why.chain(0).at_fault());
  EXPECT_EQ(why.chain(1).component(), "postgres/zone1");
  EXPECT_TRUE(why.chain(1).at_fault());
  EXPECT_NE(why.summary().find("postgres/zone1: was killed"), std::string::npos) << why.summary();
}

TEST_F(ExplainTest, LastEnds_ComeNewestFirst) {
  std::vector<agent::Event> events(3);
  for (int i = 0; i < 3; ++i) {
    events[static_cast<size_t>(i)].set_component(i == 1 ? "pgctld/zone1" : "etcd");
    events[static_cast<size_t>(i)].set_type("exited");
    events[static_cast<size_t>(i)].set_message(std::to_string(i));
  }
  agent::ExplainComponentResponse why = Explain(specs_, status_, events, "etcd");
  ASSERT_EQ(why.exits_size(), 2);
  EXPECT_EQ(why.exits(0).message(), "2");
}

}  // namespace
}  // namespace mg::operations
