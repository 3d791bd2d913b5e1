// The local flavour with real processes: shims, etcd, PostgreSQL, our components.
#include "agentd/provisioners/local/local_provisioner.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/status/status.h"

extern char** environ;

namespace mg::local {
namespace {

namespace v1 = multigres::provisioner::v1;

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string text = *entry;
    environment[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  return environment;
}

class LocalProvisionerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* kind : {"multigres-shim", "pgctld", "multiadmin", "multipooler", "multiorch", "multigateway"}) {
      if (!Exists(JoinPath(Libexec(), kind))) {
        GTEST_SKIP() << kind << " is not built";
      }
    }
    std::string pattern = "/tmp/mg-local-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
    chmod(home_.c_str(), 0755);
    Make();
    context_.operation_id = "test";
    context_.deadline = absl::Now() + absl::Seconds(120);
    context_.cancel = &cancel_;
    context_.step = [this](const v1::StepProgress& step) {
      std::lock_guard lock(mutex_);
      if (step.state() != v1::STEP_STATE_RUNNING) {
        steps_[step.id()] = step.state();
        std::printf("  %-24s %d %6.1f ms  %s\n", step.id().c_str(), step.state(),
                    static_cast<double>(step.elapsed().seconds()) * 1e3 + step.elapsed().nanos() * 1e-6,
                    step.detail().c_str());
      }
    };
    context_.message = [](const std::string& text) { std::printf("  message: %s\n", text.c_str()); };
  }
  static std::string Libexec() { return JoinPath(getenv("MULTIGRES_BUILD_DIR"), "libexec/multigres"); }
  void TearDown() override {
    if (home_.empty()) {
      return;
    }
    if (provisioner_ != nullptr) {
      absl::StatusOr<bool> down = Down(/*clean=*/true);
      EXPECT_TRUE(down.ok()) << down.status();
    }
    provisioner_.reset();
    if (!HasFailure()) {
      EXPECT_TRUE(RemoveTree(home_).ok());
    }
  }

  /// A new agent: the old one's knowledge is gone, its processes are not.
  void Make() {
    provisioner_.reset();
    LocalOptions options;
    options.home = home_;
    options.home_is_explicit = true;
    options.libexec_dir = Libexec();
    options.environment = Environment();
    options.uid = geteuid();
    provisioner_ = CreateLocalProvisioner(options);
    provisioner_->on_event = [](const provisioners::Provisioner::Event& event) {
      std::printf("  event: %s %s %s\n", event.component.c_str(), event.type.c_str(), event.message.c_str());
    };
    ASSERT_TRUE(provisioner_->Recover().ok());
  }

  v1::ClusterSelector Selector() const {
    v1::ClusterSelector selector;
    selector.set_working_directory(home_);
    return selector;
  }
  absl::StatusOr<bool> Up(int cells) {
    v1::BootstrapClusterRequest request;
    *request.mutable_cluster() = Selector();
    request.set_cells(cells);
    return provisioner_->BringUp(request, context_);
  }
  absl::StatusOr<bool> Component(const std::string& name, bool start) {
    if (start) {
      v1::ProvisionComponentRequest request;
      *request.mutable_cluster() = Selector();
      request.set_component(name);
      return provisioner_->ProvisionComponent(request, context_);
    }
    v1::DeprovisionComponentRequest request;
    *request.mutable_cluster() = Selector();
    request.set_component(name);
    return provisioner_->DeprovisionComponent(request, context_);
  }
  absl::StatusOr<bool> Down(bool clean) {
    v1::TeardownClusterRequest request;
    *request.mutable_cluster() = Selector();
    request.set_clean(clean);
    return provisioner_->Teardown(request, context_);
  }
  v1::ClusterStatus Status() {
    v1::GetClusterStatusRequest request;
    *request.mutable_cluster() = Selector();
    absl::StatusOr<v1::ClusterStatus> status = provisioner_->Status(request, absl::Now() + absl::Seconds(2));
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(v1::ClusterStatus());
  }
  v1::ComponentStatus StatusOf(const std::string& name) {
    v1::ClusterStatus status = Status();
    for (const v1::ComponentStatus& component : status.components()) {
      if (component.name() == name) {
        return component;
      }
    }
    ADD_FAILURE() << "no component " << name;
    return {};
  }

  static std::map<std::string, pid_t> PidsOf(const v1::ClusterStatus& status) {
    std::map<std::string, pid_t> pids;
    for (const v1::ComponentStatus& component : status.components()) {
      pids[component.name()] = component.pid();
    }
    return pids;
  }

  std::string home_;
  provisioners::CancelToken cancel_;
  provisioners::OperationContext context_;
  std::unique_ptr<provisioners::Provisioner> provisioner_;
  std::mutex mutex_;
  std::map<std::string, v1::StepState> steps_;
};

TEST_F(LocalProvisionerTest, WhenNothingWasBroughtUp_StatusIsStoppedAndDownChangesNothing) {
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "stopped");
  EXPECT_EQ(status.components_size(), 17);
  absl::StatusOr<bool> down = Down(false);
  ASSERT_TRUE(down.ok()) << down.status();
  EXPECT_TRUE(*down);
}

TEST_F(LocalProvisionerTest, AComponent_IsStartedOnceSurvivesItsAgentAndIsStopped) {
  absl::StatusOr<bool> up = Component("etcd", true);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_FALSE(*up);
  v1::ComponentStatus first = StatusOf("etcd");
  EXPECT_TRUE(first.ready()) << first.DebugString();
  up = Component("etcd", true);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_TRUE(*up);

  Make();
  EXPECT_EQ(StatusOf("etcd").pid(), first.pid());
  EXPECT_TRUE(StatusOf("etcd").ready());

  kill(first.pid(), SIGKILL);
  up = Component("etcd", true);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_NE(StatusOf("etcd").pid(), first.pid());
  EXPECT_EQ(StatusOf("etcd").restarts(), 1);

  absl::StatusOr<bool> down = Component("etcd", false);
  ASSERT_TRUE(down.ok()) << down.status();
  EXPECT_EQ(StatusOf("etcd").state(), "stopped");
  EXPECT_EQ(StatusOf("etcd").pid(), 0);
}

TEST_F(LocalProvisionerTest, ACluster_ComesUpIsRepairedSurvivesItsAgentAndGoesDown) {
  absl::StatusOr<bool> up = Up(2);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_FALSE(*up);
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "running") << status.reason();
  ASSERT_EQ(status.components_size(), 12);
  int leaders = 0;
  for (const v1::ComponentStatus& component : status.components()) {
    EXPECT_TRUE(component.ready()) << component.name() << ": " << component.reason();
    leaders += component.kind() == "postgres" && component.role() == "primary" ? 1 : 0;
  }
  EXPECT_EQ(leaders, 1);

  up = Up(0);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_TRUE(*up) << "a running cluster has nothing to be done";
  EXPECT_EQ(PidsOf(Status()), PidsOf(status));
  up = Up(1);
  EXPECT_TRUE(absl::IsFailedPrecondition(up.status())) << up.status();

  Make();
  EXPECT_EQ(PidsOf(Status()), PidsOf(status));

  // What dies is started again by itself; an `up` at the same moment is no second start.
  pid_t gateway = StatusOf("multigateway/zone2").pid();
  kill(gateway, SIGKILL);
  up = Up(0);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_NE(StatusOf("multigateway/zone2").pid(), gateway);
  EXPECT_EQ(StatusOf("multigateway/zone2").restarts(), 1);
  status = Status();
  EXPECT_EQ(status.state(), "running") << status.reason();

  std::map<std::string, pid_t> pids = PidsOf(status);
  absl::StatusOr<bool> down = Down(false);
  ASSERT_TRUE(down.ok()) << down.status();
  EXPECT_FALSE(*down);
  EXPECT_EQ(Status().state(), "stopped");
  for (const auto& [name, pid] : pids) {
    EXPECT_FALSE(IdentifyProcess(pid).ok()) << name << " still runs";
  }

  up = Up(0);
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_EQ(Status().state(), "running") << Status().reason();
}

}  // namespace
}  // namespace mg::local
