#include "agentd/operations/cluster_operations.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "agentd/provisioners/fake/fake_provisioner.h"
#include "common/status/status.h"

namespace mg::operations {
namespace {

namespace v1 = multigres::provisioner::v1;

class ClusterOperationsTest : public ::testing::Test {
 protected:
  ClusterOperationsTest() {
    context_.operation_id = "op";
    context_.deadline = absl::Now() + absl::Seconds(30);
    context_.cancel = &cancel_;
    context_.step = [this](const v1::StepProgress& step) { steps_.push_back(step); };
    context_.message = [this](const std::string& message) { messages_.push_back(message); };
  }
  v1::ClusterSelector Named(const std::string& name) {
    v1::ClusterSelector cluster;
    cluster.set_name(name);
    return cluster;
  }

  provisioners::FakeProvisioner provisioner_;
  provisioners::CancelToken cancel_;
  provisioners::OperationContext context_;
  std::vector<v1::StepProgress> steps_;
  std::vector<std::string> messages_;
};

TEST_F(ClusterOperationsTest, BringUp_ChecksBootstrapsAndProvisions) {
  absl::StatusOr<bool> unchanged = BringUp(provisioner_, Named("a"), 3, context_);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  EXPECT_FALSE(*unchanged);
  EXPECT_EQ(provisioner_.calls(), (std::vector<std::string>{"validate a", "bootstrap a", "database a"}));
  EXPECT_EQ(steps_[0].id(), "preflight");
  EXPECT_EQ(steps_[1].state(), v1::STEP_STATE_DONE);
  EXPECT_EQ(steps_[1].detail(), "postgres 15.20");
  EXPECT_EQ(messages_, std::vector<std::string>{"warning: 2 GiB are free"});
  EXPECT_TRUE(*BringUp(provisioner_, Named("a"), 3, context_));
}

TEST_F(ClusterOperationsTest, BringUp_WhenACheckFails_EndsWithItsReasonAndHint) {
  absl::Status status = BringUp(provisioner_, Named("unfit"), 3, context_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DetailOf(status)->reason, "PORT_IN_USE");
  EXPECT_EQ(DetailOf(status)->hint, "stop it");
  EXPECT_EQ(provisioner_.calls().size(), 1u) << "nothing was begun";
  EXPECT_EQ(steps_.back().state(), v1::STEP_STATE_FAILED);
}

TEST_F(ClusterOperationsTest, BringUp_WhenCancelled_BeginsNothingMore) {
  cancel_.Cancel();
  EXPECT_TRUE(absl::IsCancelled(BringUp(provisioner_, Named("a"), 3, context_).status()));
  EXPECT_EQ(provisioner_.calls().size(), 1u);
}

TEST_F(ClusterOperationsTest, Restart_KeepsTheData) {
  ASSERT_TRUE(Restart(provisioner_, Named("a"), context_).ok());
  EXPECT_EQ(provisioner_.calls(), (std::vector<std::string>{"teardown a", "validate a", "bootstrap a", "database a"}));
}

}  // namespace
}  // namespace mg::operations
