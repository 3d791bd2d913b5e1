/// The topology's records in a real etcd: the keys that upstream has, cells with an etcd of their own, claims, watches.
#include "common/topology/topology.h"
#include "common/topology/predecessors.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/etcd/etcd_client.h"
#include "tests/integration/etcd_sandbox.h"

namespace mg::topology {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

clustermetadata::Multipooler Pooler(const std::string& cell, const std::string& name) {
  clustermetadata::Multipooler record;
  record.mutable_id()->set_component(clustermetadata::ID::MULTIPOOLER);
  record.mutable_id()->set_cell(cell);
  record.mutable_id()->set_name(name);
  record.set_hostname("localhost");
  (*record.mutable_port_map())["grpc"] = 4711;
  return record;
}

clustermetadata::ShardKey Shard() {
  clustermetadata::ShardKey key;
  key.set_database("postgres");
  key.set_table_group("default");
  key.set_shard("0-inf");
  return key;
}

/// Waits until what a watch told last, as text, is what is wanted.
class LastWord {
 public:
  void Set(std::string text) {
    std::lock_guard lock(mutex_);
    text_ = std::move(text);
    changed_.notify_all();
  }
  std::string Await(const std::string& wanted) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return text_ == wanted; });
    return text_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_ = "nothing yet";
};

class TopologyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!tests::EtcdSandbox::Possible()) {
      GTEST_SKIP() << "no etcd";
    }
    global_ = std::make_unique<tests::EtcdSandbox>();
    topology_ = Topology::Create({global_->address()}, "/mg/global/");
    raw_ = etcd::Client::Create({global_->address()});
  }

  absl::Status AddCell(const std::string& name, const std::string& address) {
    clustermetadata::Cell cell;
    cell.set_name(name);
    cell.add_server_addresses(address);
    cell.set_root(absl::StrCat("/mg/", name));
    return topology_->CreateCell(cell, Soon());
  }

  std::unique_ptr<tests::EtcdSandbox> global_;
  std::unique_ptr<Topology> topology_;
  std::unique_ptr<etcd::Client> raw_;
};

TEST_F(TopologyTest, CellsAndDatabases) {
  EXPECT_TRUE(topology_->CellNames(Soon())->empty());
  ASSERT_TRUE(AddCell("zone2", global_->address()).ok());
  ASSERT_TRUE(AddCell("zone1", global_->address()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(AddCell("zone1", global_->address())));
  EXPECT_TRUE(absl::IsInvalidArgument(AddCell("a_b", global_->address())));
  EXPECT_EQ(*topology_->CellNames(Soon()), (std::vector<std::string>{"zone1", "zone2"}));
  auto cell = topology_->GetCell("zone1", Soon());
  ASSERT_TRUE(cell.ok()) << cell.status();
  EXPECT_EQ(cell->record.root(), "/mg/zone1");
  EXPECT_GT(cell->version, 0);
  EXPECT_TRUE(absl::IsNotFound(topology_->GetCell("zone9", Soon()).status()));
  // Upstream's key, and plain protobuf in it.
  auto stored = raw_->Get("/mg/global/cells/zone1/Cell", Soon());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->value, cell->record.SerializeAsString());

  clustermetadata::Database database;
  database.set_name("postgres");
  ASSERT_TRUE(topology_->CreateDatabase(database, Soon()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(topology_->CreateDatabase(database, Soon())));
  EXPECT_TRUE(raw_->Get("/mg/global/databases/postgres/Database", Soon()).ok());
  // A claim alone makes no database.
  ASSERT_TRUE(raw_->Put("/mg/global/databases/other/default/0-inf/ShardInitClaim", "", Soon()).ok());
  EXPECT_EQ(*topology_->DatabaseNames(Soon()), std::vector<std::string>{"postgres"});
}

TEST_F(TopologyTest, AwaitCell_SeesACellThatComesLater) {
  EXPECT_FALSE(topology_->AwaitCell("zone1", absl::Now() + absl::Milliseconds(50)));
  std::thread later([this] { EXPECT_TRUE(AddCell("zone1", global_->address()).ok()); });
  EXPECT_TRUE(topology_->AwaitCell("zone1", Soon()));
  later.join();
  EXPECT_TRUE(topology_->AwaitCell("zone1", Soon()));
}

TEST_F(TopologyTest, RecordsOfACellWithItsOwnEtcd) {
  tests::EtcdSandbox own;
  ASSERT_TRUE(AddCell("zone1", global_->address()).ok());
  ASSERT_TRUE(AddCell("zone2", own.address()).ok());
  ASSERT_TRUE(topology_->PutPooler(Pooler("zone1", "a"), Soon()).ok());
  ASSERT_TRUE(topology_->PutPooler(Pooler("zone2", "b"), Soon()).ok());
  EXPECT_TRUE(raw_->Get("/mg/zone1/poolers/multipooler-zone1-a/Pooler", Soon()).ok());
  auto own_client = etcd::Client::Create({own.address()});
  EXPECT_TRUE(own_client->Get("/mg/zone2/poolers/multipooler-zone2-b/Pooler", Soon()).ok());

  auto poolers = topology_->Poolers("zone2", Soon());
  ASSERT_TRUE(poolers.ok()) << poolers.status();
  ASSERT_EQ(poolers->size(), 1u);
  EXPECT_EQ(poolers->at(0).id().name(), "b");
  EXPECT_EQ(*AddressOf(poolers->at(0), "grpc"), "localhost:4711");
  EXPECT_TRUE(absl::IsNotFound(AddressOf(poolers->at(0), "http").status()));
  EXPECT_TRUE(absl::IsNotFound(topology_->Poolers("zone9", Soon()).status()));

  // Overwriting is allowed; deleting twice too.
  clustermetadata::Multipooler changed = Pooler("zone2", "b");
  changed.set_hostname("elsewhere");
  ASSERT_TRUE(topology_->PutPooler(changed, Soon()).ok());
  EXPECT_EQ(topology_->Poolers("zone2", Soon())->at(0).hostname(), "elsewhere");
  EXPECT_TRUE(topology_->DeletePooler(changed.id(), Soon()).ok());
  EXPECT_TRUE(topology_->DeletePooler(changed.id(), Soon()).ok());
  EXPECT_TRUE(topology_->Poolers("zone2", Soon())->empty());

  // A record that names another cell than the one that it lies in is nobody's.
  ASSERT_TRUE(
      raw_->Put("/mg/zone1/poolers/multipooler-zone3-x/Pooler", Pooler("zone3", "x").SerializeAsString(), Soon()).ok());
  EXPECT_EQ(topology_->Poolers("zone1", Soon())->size(), 1u);
  // One that is not a record makes the cell's list fail.
  ASSERT_TRUE(raw_->Put("/mg/zone1/poolers/multipooler-zone1-y/Pooler", "\x0a\xff", Soon()).ok());
  EXPECT_TRUE(absl::IsDataLoss(topology_->Poolers("zone1", Soon()).status()));
}

TEST_F(TopologyTest, GatewaysAndOrchs) {
  ASSERT_TRUE(AddCell("zone1", global_->address()).ok());
  clustermetadata::Multigateway gateway;
  gateway.mutable_id()->set_component(clustermetadata::ID::MULTIGATEWAY);
  gateway.mutable_id()->set_cell("zone1");
  gateway.mutable_id()->set_name("g");
  gateway.set_pid_prefix(7);
  clustermetadata::Multiorch orch;
  orch.mutable_id()->set_component(clustermetadata::ID::MULTIORCH);
  orch.mutable_id()->set_cell("zone1");
  orch.mutable_id()->set_name("o");
  EXPECT_TRUE(topology_->Gateways("zone1", Soon())->empty());
  ASSERT_TRUE(topology_->PutGateway(gateway, Soon()).ok());
  ASSERT_TRUE(topology_->PutOrch(orch, Soon()).ok());
  EXPECT_TRUE(raw_->Get("/mg/zone1/gateways/multigateway-zone1-g/Gateway", Soon()).ok());
  EXPECT_TRUE(raw_->Get("/mg/zone1/orchs/multiorch-zone1-o/Orch", Soon()).ok());
  EXPECT_EQ(topology_->Gateways("zone1", Soon())->at(0).pid_prefix(), 7u);
  EXPECT_EQ(topology_->Orchs("zone1", Soon())->size(), 1u);
  EXPECT_TRUE(topology_->DeleteGateway(gateway.id(), Soon()).ok());
  EXPECT_TRUE(topology_->DeleteOrch(orch.id(), Soon()).ok());
  EXPECT_TRUE(topology_->Orchs("zone1", Soon())->empty());
}

TEST_F(TopologyTest, WhoComesAfterOneThatWasKilled_DeletesItsRecord) {
  ASSERT_TRUE(AddCell("zone1", global_->address()).ok());
  auto record = [](const std::string& name, const std::string& host, int port) {
    clustermetadata::Multigateway gateway;
    gateway.mutable_id()->set_component(clustermetadata::ID::MULTIGATEWAY);
    gateway.mutable_id()->set_cell("zone1");
    gateway.mutable_id()->set_name(name);
    gateway.set_hostname(host);
    (*gateway.mutable_port_map())["grpc"] = port;
    return gateway;
  };
  for (const auto& one :
       {record("killed", "here", 1001), record("alive", "here", 1002), record("far", "there", 1001)}) {
    ASSERT_TRUE(topology_->PutGateway(one, Soon()).ok());
  }
  auto own = record("new", "here", 1001);
  ASSERT_TRUE(topology_->PutGateway(own, Soon()).ok());
  ForgetPredecessors(topology_.get(), own, Soon());
  std::string names;
  const auto left = topology_->Gateways("zone1", Soon());
  for (const auto& gateway : *left) {
    names += gateway.id().name() + " ";
  }
  EXPECT_EQ(names, "alive far new ");
}

TEST_F(TopologyTest, ClaimIsTakenOnceAndReplacedByWhoSawIt) {
  clustermetadata::ShardInitClaim mine, yours;
  *mine.mutable_claimer_id() = Pooler("zone1", "mine").id();
  *yours.mutable_claimer_id() = Pooler("zone2", "yours").id();
  EXPECT_TRUE(absl::IsNotFound(topology_->GetClaim(Shard(), Soon()).status()));

  LastWord told;
  auto watch = topology_->WatchClaim(Shard(), [&](const clustermetadata::ShardInitClaim& claim) {
    told.Set(claim.has_claimer_id() ? claim.claimer_id().name() : "none");
  });
  EXPECT_EQ(told.Await("none"), "none");
  ASSERT_TRUE(topology_->CreateClaim(Shard(), mine, Soon()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(topology_->CreateClaim(Shard(), yours, Soon())));
  EXPECT_EQ(told.Await("mine"), "mine");
  auto claim = topology_->GetClaim(Shard(), Soon());
  ASSERT_TRUE(claim.ok());
  ASSERT_TRUE(topology_->ReplaceClaim(Shard(), yours, claim->version, Soon()).ok());
  EXPECT_TRUE(absl::IsAborted(topology_->ReplaceClaim(Shard(), mine, claim->version, Soon())));
  EXPECT_EQ(told.Await("yours"), "yours");
  ASSERT_TRUE(raw_->Delete("/mg/global/databases/postgres/default/0-inf/ShardInitClaim", Soon()).ok());
  EXPECT_EQ(told.Await("none"), "none");
}

TEST_F(TopologyTest, WatchPoolers_OfAllCellsAlsoOfThoseThatComeLater) {
  tests::EtcdSandbox own;
  ASSERT_TRUE(AddCell("zone1", global_->address()).ok());
  ASSERT_TRUE(topology_->PutPooler(Pooler("zone1", "a"), Soon()).ok());
  LastWord told;
  auto watch = topology_->WatchPoolers([&](const std::vector<clustermetadata::Multipooler>& poolers) {
    told.Set(absl::StrJoin(poolers, " ",
                           [](std::string* out, const auto& pooler) { *out += ClusterIdString(pooler.id()); }));
  });
  EXPECT_EQ(told.Await("zone1_a"), "zone1_a");
  ASSERT_TRUE(AddCell("zone2", own.address()).ok());
  ASSERT_TRUE(topology_->PutPooler(Pooler("zone2", "b"), Soon()).ok());
  EXPECT_EQ(told.Await("zone1_a zone2_b"), "zone1_a zone2_b");

  // The cell's etcd goes: what was known stays known. It comes back: changes arrive again.
  own.Kill();
  ASSERT_TRUE(topology_->PutPooler(Pooler("zone1", "c"), Soon()).ok());
  EXPECT_EQ(told.Await("zone1_a zone1_c zone2_b"), "zone1_a zone1_c zone2_b");
  own.Start();
  ASSERT_TRUE(topology_->DeletePooler(Pooler("zone2", "b").id(), Soon()).ok());
  EXPECT_EQ(told.Await("zone1_a zone1_c"), "zone1_a zone1_c");
}

TEST(TopologyNamesTest, IdsAndNames) {
  EXPECT_EQ(IdString(Pooler("zone1", "a").id()), "multipooler-zone1-a");
  EXPECT_EQ(ClusterIdString(Pooler("zone1", "a").id()), "zone1_a");
  EXPECT_EQ(ParseClusterId("zone1_a_b")->name(), "a_b");
  for (const char* bad : {"", "zone1", "_a", "zone1_"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseClusterId(bad).status())) << bad;
  }
  EXPECT_EQ(ShardKeyString(Shard()), "postgres/default/0-inf");
  EXPECT_EQ(RandomName().size(), 8u);
  EXPECT_NE(RandomName(), RandomName());
  EXPECT_TRUE(ValidateCellName("zone-1").ok());
  for (const std::string& bad :
       {std::string(), std::string("global"), std::string("a b"), std::string("-x"), std::string(41, 'x')}) {
    EXPECT_FALSE(ValidateCellName(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace mg::topology
