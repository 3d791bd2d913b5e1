#include "agentd/store/cluster_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "agentd/store/registry.h"
#include "common/fs/fs.h"
#include "common/shim_record/record.h"
#include "common/status/status.h"

namespace mg::store {
namespace {

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/mg-store-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(dir_).ok()); }
  std::string dir_;
};

using ClusterStoreTest = StoreTest;
using RegistryTest = StoreTest;

ClusterRecord SomeRecord() {
  ClusterRecord record;
  record.set_cluster_id(NewUuid());
  record.set_name("default");
  record.add_cells("zone1");
  (*record.mutable_service_ids())["zone1"] = "bcdf2467";
  return record;
}

TEST_F(ClusterStoreTest, WhenUpdated_IsReadBackTheSame) {
  std::unique_ptr<ClusterStore> store = ClusterStore::New(dir_, SomeRecord());
  EXPECT_TRUE(absl::IsNotFound(ClusterStore::Open(dir_).status()));
  ASSERT_TRUE(
      store->Update([](ClusterRecord* r) { (*(*r->mutable_components())["etcd"].mutable_ports())["client"] = 2379; })
          .ok());
  EXPECT_EQ(*store->NextGeneration("etcd"), 1);
  EXPECT_EQ(*store->NextGeneration("etcd"), 2);
  absl::StatusOr<std::unique_ptr<ClusterStore>> again = ClusterStore::Open(dir_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->Get().SerializeAsString().size(), store->Get().SerializeAsString().size());
  EXPECT_EQ((*again)->Get().components().at("etcd").generation(), 2);
  EXPECT_EQ((*again)->Get().components().at("etcd").ports().at("client"), 2379);
}

TEST_F(ClusterStoreTest, WhenANewerAgentWroteMore_UnknownFieldsAreSkipped) {
  ASSERT_TRUE(WriteFileAtomically(Paths(dir_).Record(),
                                  R"({"version":2,"clusterId":"x","name":"n","mood":"fine","cells":["a"]})")
                  .ok());
  absl::StatusOr<std::unique_ptr<ClusterStore>> store = ClusterStore::Open(dir_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Get().name(), "n");
}

TEST_F(ClusterStoreTest, WhenTheFileIsBroken_SaysWhichAndWhatToDo) {
  ASSERT_TRUE(WriteFileAtomically(Paths(dir_).Record(), "{\"version\":").ok());
  absl::Status status = ClusterStore::Open(dir_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(DetailOf(status)->hint.empty());
}

/// Ways in which a state file is lost.
void Truncate(const std::string& path) {
  std::string text = *ReadFile(path);
  ASSERT_TRUE(WriteFileAtomically(path, text.substr(0, text.size() / 2)).ok());
}
void Garble(const std::string& path) { ASSERT_TRUE(WriteFileAtomically(path, std::string(64, '\0')).ok()); }
void Lose(const std::string& path) { ASSERT_TRUE(RemoveTree(path).ok()); }

TEST_F(ClusterStoreTest, WhenTheFileIsLostOrBroken_ThePreviousOneAndWhatWasLaunchedMakeUpForIt) {
  for (auto ruin : {Truncate, Garble, Lose}) {
    std::unique_ptr<ClusterStore> store = ClusterStore::New(dir_, SomeRecord());
    ASSERT_TRUE(store->Update([](ClusterRecord* r) { r->set_wanted(true); }).ok());
    ASSERT_TRUE(store->NextGeneration("multiorch/zone1").ok());
    ASSERT_TRUE(store->NextGeneration("multiorch/zone1").ok());  // the change that will be missing
    std::string run_dir = Paths(dir_).RunDir({.kind = kMultiorch, .cell = "zone1"});
    ASSERT_TRUE(MakeDirectories(run_dir, 0700).ok());
    shim::Record launch;
    launch.Add("generation", 2);
    ASSERT_EQ(shim::WriteRecord(JoinPath(run_dir, "launch"), launch, false), 0);
    ruin(Paths(dir_).Record());
    absl::StatusOr<std::unique_ptr<ClusterStore>> again = ClusterStore::Open(dir_);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE((*again)->Get().wanted());
    EXPECT_EQ((*again)->Get().cluster_id(), store->Get().cluster_id());
    EXPECT_EQ(*(*again)->NextGeneration("multiorch/zone1"), 3);
    EXPECT_TRUE(Exists(Paths(dir_).Record())) << "it is written anew";
  }
}

TEST_F(RegistryTest, WhenTheFileIsLostOrBroken_ThePreviousOneAndWhatIsThereMakeUpForIt) {
  std::string elsewhere = JoinPath(dir_, "elsewhere"), below = JoinPath(dir_, "clusters/below");
  for (const std::string& root : {elsewhere, below}) {
    ASSERT_TRUE(MakeDirectories(root, 0700).ok());
  }
  ClusterRecord record = SomeRecord();
  record.set_name("below");
  ASSERT_TRUE(ClusterStore::New(below, record)->Update([](ClusterRecord*) {}).ok());
  for (auto ruin : {Truncate, Garble, Lose}) {
    Registry registry(dir_);
    RegisteredCluster cluster;
    cluster.set_name("elsewhere");
    cluster.set_root(elsewhere);
    ASSERT_TRUE(registry.Put(cluster).ok());
    cluster.set_name("below");
    cluster.set_root(below);
    ASSERT_TRUE(registry.Put(cluster).ok());
    ruin(JoinPath(dir_, "clusters.json"));
    std::vector<RegisteredCluster> found = *Registry(dir_).List();
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].name(), "below");
    EXPECT_EQ(found[1].name(), "elsewhere");
    ASSERT_TRUE(registry.Remove(below).ok());
    ASSERT_TRUE(registry.Remove(elsewhere).ok());
  }
}

TEST_F(RegistryTest, WhenClustersComeAndGo_ListsThoseThatExistByName) {
  Registry registry(dir_);
  EXPECT_EQ(registry.List()->size(), 0u);
  RegisteredCluster cluster;
  for (const char* name : {"b", "a", "gone"}) {
    cluster.set_name(name);
    cluster.set_root(JoinPath(dir_, name));
    ASSERT_TRUE(MakeDirectories(cluster.root(), 0700).ok());
    ASSERT_TRUE(registry.Put(cluster).ok());
    ASSERT_TRUE(registry.Put(cluster).ok());
  }
  ASSERT_TRUE(RemoveTree(cluster.root()).ok());
  std::vector<RegisteredCluster> clusters = *Registry(dir_).List();
  ASSERT_EQ(clusters.size(), 2u);
  EXPECT_EQ(clusters[0].name(), "a");
  EXPECT_EQ(clusters[1].name(), "b");
  ASSERT_TRUE(registry.Remove(clusters[0].root()).ok());
  ASSERT_TRUE(registry.Remove(clusters[0].root()).ok());
  EXPECT_EQ(registry.List()->size(), 1u);
}

TEST(NewUuid_, IsOfVersion4AndDifferentEachTime) {
  std::string uuid = NewUuid();
  EXPECT_EQ(uuid.size(), 36u);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(uuid, NewUuid());
}

}  // namespace
}  // namespace mg::store
