#include "agentd/provisioners/local/status.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "agentd/provisioners/local/model_for_tests.h"
#include "common/process/process_id.h"

namespace mg::local {
namespace {

class DescribeTest : public ::testing::Test {
 protected:
  explicit DescribeTest(int cells = 3) : model_(ModelForTests(cells)) {
    model_.store = store::ClusterStore::New("/srv/mg", model_.record);
    model_.record.set_wanted(true);
    for (const v1::ComponentSpec& spec : model_.specs) {
      Observation o{.spec = &spec};
      o.process.launch = shim::LaunchSpec{.name = spec.name(), .generation = 1};
      o.process.shim_alive = o.process.child_alive = true;
      o.process.child = *IdentifyProcess(getppid());
      o.probe.ready = absl::OkStatus();
      bool leads = spec.cell() == "zone1";
      auto* status = o.probe.multipooler.mutable_status();
      status->set_postgres_status(leads ? multipoolermanagerdata::POSTGRES_STATUS_PRIMARY
                                        : multipoolermanagerdata::POSTGRES_STATUS_STANDBY);
      status->mutable_primary_status()->set_lsn("0/2000");
      status->mutable_replication_status()->set_last_receive_lsn("0/1000");
      status->mutable_replication_status()->set_wal_receiver_status("streaming");
      observations_.push_back(std::move(o));
    }
  }
  Observation& Of(const std::string& name) {
    return *std::find_if(observations_.begin(), observations_.end(),
                         [&](const Observation& o) { return o.spec->name() == name; });
  }
  v1::ClusterStatus Status(Activity activity = Activity::kNone) {
    return Describe(model_, observations_, activity, absl::Now(), "this-boot");
  }
  static v1::ComponentStatus Find(const v1::ClusterStatus& status, const std::string& name) {
    for (const v1::ComponentStatus& component : status.components()) {
      if (component.name() == name) {
        return component;
      }
    }
    ADD_FAILURE() << name;
    return {};
  }
  void Die(const std::string& name, int signal) {
    Observation& o = Of(name);
    o.process.child_alive = o.process.shim_alive = false;
    o.process.exit = shim::ExitRecord{.exit_code = signal == 0 ? 3 : 0, .signal = signal, .ended = absl::Now()};
  }

  Model model_;
  std::vector<Observation> observations_;
};

class DescribeOneCellTest : public DescribeTest {
 protected:
  DescribeOneCellTest() : DescribeTest(1) {}
};

TEST_F(DescribeTest, WhenEverythingAnswers_IsRunningWithRolesAndLag) {
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "running") << status.reason();
  EXPECT_EQ(status.components_size(), 17);
  EXPECT_EQ(Find(status, "multipooler/zone1").role(), "primary");
  v1::ComponentStatus standby = Find(status, "postgres/zone2");
  EXPECT_EQ(standby.role(), "standby");
  EXPECT_EQ(standby.replication_lag_bytes(), 0x1000);
  EXPECT_TRUE(standby.streaming());
  EXPECT_TRUE(standby.ready());
  EXPECT_EQ(standby.pid(), getppid());
  EXPECT_GT(standby.uptime_seconds(), 0.0);
  EXPECT_EQ(standby.database(), "postgres");
  EXPECT_EQ(Find(status, "etcd").database(), "");
  EXPECT_EQ(Find(status, "etcd").id(), "id/etcd");
  EXPECT_TRUE(status.notices().empty());
}

TEST_F(DescribeTest, EndpointsOfGateways_CarryNoPassword) {
  int read_write = 0, read_only = 0;
  v1::ClusterStatus status = Status();
  for (const v1::Endpoint& endpoint : status.endpoints()) {
    read_write += endpoint.kind() == "postgres-rw" ? 1 : 0;
    read_only += endpoint.kind() == "postgres-ro" ? 1 : 0;
    if (endpoint.kind() == "postgres-rw" && endpoint.name() == "multigateway/zone1") {
      EXPECT_EQ(endpoint.url(), "postgresql://postgres@127.0.0.1:15432/postgres");
    }
  }
  EXPECT_EQ(read_write, 3);
  EXPECT_EQ(read_only, 3);
}

TEST_F(DescribeTest, WhenSomethingDied_IsDegradedAndSaysHow) {
  Die("multigateway/zone2", SIGKILL);
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "degraded");
  EXPECT_EQ(status.reason(), "multigateway/zone2: was killed by signal 9 (Killed)");
  EXPECT_EQ(Find(status, "multigateway/zone2").state(), "failed");
  EXPECT_EQ(Find(status, "multigateway/zone2").pid(), 0);
}

TEST_F(DescribeTest, WhenTheLeaderHasLostItsQuorum_ThatIsSaidFirst) {
  Die("postgres/zone2", SIGKILL);
  auto& pooler = Of("multipooler/zone1").probe.multipooler;
  pooler.mutable_status()->mutable_primary_status()->set_ready(true);
  EXPECT_EQ(Status().reason().find("too few standbys"), std::string::npos);
  pooler.mutable_availability_status()->mutable_leadership_status()->set_signal(
      clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
  EXPECT_EQ(Status().reason().find("postgres/zone1 leads, and too few standbys confirm its log"), 0U)
      << Status().reason();
  EXPECT_EQ(Find(Status(), "postgres/zone1").reason().find("it leads, and too few standbys confirm its log"), 0U);
}

TEST_F(DescribeTest, WhenAComponentDoesNotAnswer_IsUnhealthy) {
  Of("etcd").probe.ready = absl::DeadlineExceededError("gave no answer in time");
  v1::ClusterStatus status = Status();
  EXPECT_EQ(Find(status, "etcd").state(), "unhealthy");
  EXPECT_EQ(status.state(), "degraded");
  EXPECT_EQ(Find(Status(Activity::kStarting), "etcd").state(), "starting");
}

TEST_F(DescribeTest, WhenArchivingFails_IsDegradedAndSaysWhere) {
  Of("postgres/zone2").probe.archive_fails_at = "000000030000000000000004";
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "degraded");
  EXPECT_NE(status.reason().find("postgres/zone2: cannot archive WAL"), std::string::npos) << status.reason();
  v1::ComponentStatus postgres = Find(status, "postgres/zone2");
  EXPECT_TRUE(postgres.ready());
  EXPECT_NE(postgres.reason().find("000000030000000000000004"), std::string::npos) << postgres.reason();
}

TEST_F(DescribeTest, WhenADiskIsFull_IsDegradedAndSaysWhere) {
  Of("postgres/zone2").full_disk = "/data/pooler_x/pg_data";
  EXPECT_EQ(Status().state(), "degraded");
  EXPECT_EQ(Status().reason().find("postgres/zone2: its disk is full"), 0U) << Status().reason();
  EXPECT_TRUE(Find(Status(), "postgres/zone2").ready());
}

TEST_F(DescribeTest, WhenNobodyLeads_IsDegraded) {
  Of("multipooler/zone1")
      .probe.multipooler.mutable_status()
      ->set_postgres_status(multipoolermanagerdata::POSTGRES_STATUS_STANDBY);
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "degraded");
  EXPECT_EQ(status.reason(), "multiorch/zone1 has not appointed a leader yet");
}

TEST_F(DescribeTest, WhenNothingRuns_IsStoppedAndSaysWhetherThatWasWanted) {
  for (Observation& o : observations_) {
    Die(o.spec->name(), SIGTERM);
  }
  EXPECT_EQ(Status().state(), "stopped");
  EXPECT_NE(Status().reason().find("was not stopped"), std::string::npos);
  model_.record.set_wanted(false);
  EXPECT_EQ(Status().reason(), "it was stopped");
  EXPECT_EQ(Find(Status(), "etcd").state(), "stopped");
  EXPECT_EQ(Find(Status(), "etcd").desired(), "stopped");
  EXPECT_EQ(Status(Activity::kStarting).state(), "starting");
}

TEST_F(DescribeTest, Restarts_CountFromTheLastBringUp) {
  (*model_.record.mutable_components())["etcd"].set_base_generation(4);
  Of("etcd").process.launch->generation = 6;
  EXPECT_EQ(Find(Status(), "etcd").restarts(), 2);
}

TEST_F(DescribeTest, WhenTheAdminApiAsksNobody_SaysSo) {
  model_.input.config.admin_auth = "none";
  v1::ClusterStatus none = Status();
  ASSERT_EQ(none.notices_size(), 1);
  EXPECT_NE(none.notices(0).find("asks nobody"), std::string::npos);
  model_.input.config.admin_auth = "token";
  model_.input.implementations[store::kMultiadmin].is_builtin = false;  // upstream's has no tokens
  EXPECT_EQ(Status().notices_size(), 1);
}

TEST_F(DescribeOneCellTest, SaysThatThereIsNoRedundancy) {
  v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), "running") << status.reason();
  ASSERT_EQ(status.notices_size(), 1);
  EXPECT_NE(status.notices(0).find("redundancy"), std::string::npos);
}

}  // namespace
}  // namespace mg::local
