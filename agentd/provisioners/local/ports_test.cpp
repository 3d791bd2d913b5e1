#include "agentd/provisioners/local/ports.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::local {
namespace {

config::ClusterConfig Cells(int count) {
  config::ClusterConfig config;
  for (int i = 1; i <= count; ++i) {
    config.cells.push_back({.name = absl::StrCat("zone", i)});
  }
  return config;
}

PortFacts Facts(std::set<int> busy, std::set<std::string> running = {}, std::set<int> of_others = {}) {
  return {.is_free = [busy](int port) { return busy.count(port) == 0; },
          .describe = [](int) { return std::string("nginx (pid 12)"); },
          .running = std::move(running),
          .of_others = std::move(of_others)};
}

int PortOf(const PortChoice& choice, const std::string& component, const std::string& name) {
  return choice.ports.at(component).at(name);
}

TEST(ChoosePorts_, WhenAllAreFree_GivesTheDocumentedOnes) {
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(Cells(3)), {}, Facts({}));
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_EQ(PortOf(*choice, "etcd", "client"), 2379);
  EXPECT_EQ(PortOf(*choice, "multiadmin", "grpc"), 15070);
  EXPECT_EQ(PortOf(*choice, "multigateway/zone1", "postgres"), 15432);
  EXPECT_EQ(PortOf(*choice, "multigateway/zone3", "postgres"), 15434);
  EXPECT_EQ(PortOf(*choice, "postgres/zone2", "postgres"), 25433);
  EXPECT_EQ(PortOf(*choice, "pgctld/zone3", "pgbackrest"), 18434);
  EXPECT_TRUE(choice->remarks.empty());
}

TEST(ChoosePorts_, WhenADefaultIsBusy_TakesTheNextFreeOneThatIsNobodysDefault) {
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(Cells(3)), {}, Facts({15432, 15435}));
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(PortOf(*choice, "multigateway/zone1", "postgres"), 15436);
  EXPECT_EQ(PortOf(*choice, "multigateway/zone2", "postgres"), 15433);
}

TEST(ChoosePorts_, WhenAnotherClusterRecordedADefault_LeavesItToThem) {
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(Cells(1)), {}, Facts({}, {}, {15432, 2379, 2380, 2381}));
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(PortOf(*choice, "multigateway/zone1", "postgres"), 15433);
  EXPECT_EQ(PortOf(*choice, "etcd", "client"), 2382);
  EXPECT_EQ(PortOf(*choice, "etcd", "peer"), 2383);
}

TEST(ChoosePorts_, WhenAPortWasRecorded_KeepsItEvenThoughTheDefaultIsFreeAgain) {
  PortMap recorded;
  recorded["etcd"]["client"] = 2390;
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(Cells(1)), recorded, Facts({}));
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(PortOf(*choice, "etcd", "client"), 2390);
}

TEST(ChoosePorts_, WhenARecordedPortIsTakenByAStranger_MovesAndSaysSo) {
  PortMap recorded;
  recorded["etcd"]["client"] = 2379;
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(Cells(1)), recorded, Facts({2379}));
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(PortOf(*choice, "etcd", "client"), 2382);
  ASSERT_EQ(choice->remarks.size(), 1u);
  EXPECT_EQ(choice->remarks[0], "etcd moves from port 2379 to 2382: 2379 is now in use by nginx (pid 12)");
}

TEST(ChoosePorts_, WhenTheComponentItselfHasThePort_ItIsNotBusy) {
  PortMap recorded;
  recorded["etcd"]["client"] = 2379;
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(Cells(1)), recorded, Facts({2379}, {"etcd"}));
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(PortOf(*choice, "etcd", "client"), 2379);
}

TEST(ChoosePorts_, WhenAFixedPortIsBusy_NamesItAndItsHolder) {
  config::ClusterConfig config = Cells(1);
  config.etcd["client"] = {.number = 7000, .fixed = true};
  absl::StatusOr<PortChoice> choice = ChoosePorts(PortNeeds(config), {}, Facts({7000}));
  ASSERT_FALSE(choice.ok());
  EXPECT_EQ(std::string(choice.status().message()), "port 7000 (etcd client) is in use by nginx (pid 12)");
  EXPECT_EQ(DetailOf(choice.status())->reason, "PORT_IN_USE");
  EXPECT_EQ(DetailOf(choice.status())->subject, "etcd");
  EXPECT_TRUE(ChoosePorts(PortNeeds(config), {}, Facts({})).ok());
}

TEST(ChoosePorts_, WhenAPortIsFixedTwice_IsAnError) {
  config::ClusterConfig config = Cells(1);
  config.etcd["client"] = {.number = 7000, .fixed = true};
  config.etcd["peer"] = {.number = 7000, .fixed = true};
  EXPECT_FALSE(ChoosePorts(PortNeeds(config), {}, Facts({})).ok());
}

TEST(ChoosePorts_, ForSevenCells_GivesEveryPortOnce) {
  std::vector<PortNeed> needs = PortNeeds(Cells(7));
  absl::StatusOr<PortChoice> choice = ChoosePorts(needs, {}, Facts({15201, 15434}));
  ASSERT_TRUE(choice.ok());
  std::set<int> seen;
  for (const auto& [component, ports] : choice->ports) {
    for (const auto& [name, port] : ports) {
      EXPECT_TRUE(seen.insert(port).second) << component << " " << name;
    }
  }
  EXPECT_EQ(seen.size(), needs.size());
}

}  // namespace
}  // namespace mg::local
