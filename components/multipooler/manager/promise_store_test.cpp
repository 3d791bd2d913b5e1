#include "components/multipooler/manager/promise_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/fs/fs.h"

namespace mg::multipooler {
namespace {

class PromiseStoreTest : public testing::Test {
 protected:
  PromiseStoreTest() {
    char name[] = "/tmp/mg-promises-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/consensus_promises.json";
  }
  ~PromiseStoreTest() override { (void)RemoveTree(directory_); }
  std::string directory_;
  std::string path_;
};

TEST_F(PromiseStoreTest, WhenFileIsAbsent_HasPromisedNothing) {
  auto store = PromiseStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Get().term_revocation().revoked_below_term(), 0);
}

TEST_F(PromiseStoreTest, WhenPut_IsThereAfterReopening) {
  clustermetadata::ConsensusPromises promises;
  promises.mutable_term_revocation()->set_revoked_below_term(7);
  promises.mutable_term_revocation()->mutable_accepted_coordinator_id()->set_name("o1");
  promises.mutable_term_revocation()->mutable_coordinator_initiated_at()->set_nanos(123456789);
  ASSERT_TRUE((*PromiseStore::Open(path_))->Put(promises).ok());
  auto again = PromiseStore::Open(path_);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->Get().SerializeAsString(), promises.SerializeAsString());
  EXPECT_NE(ReadFile(path_)->find("\"revokedBelowTerm\":\"7\""), std::string::npos) << *ReadFile(path_);
}

TEST_F(PromiseStoreTest, WhenFileIsMangled_RefusesToOpen) {
  ASSERT_TRUE(WriteFileAtomically(path_, "{\"termRevoc", 0600).ok());
  EXPECT_EQ(PromiseStore::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace mg::multipooler
