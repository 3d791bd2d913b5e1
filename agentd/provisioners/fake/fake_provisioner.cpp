#include "agentd/provisioners/fake/fake_provisioner.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::provisioners {
namespace {

std::string NameOf(const v1::ClusterSelector& cluster) { return cluster.name().empty() ? "default" : cluster.name(); }

void Step(OperationContext& context, const std::string& id, v1::StepState state) {
  v1::StepProgress step;
  step.set_id(id);
  step.set_group(id);
  step.set_state(state);
  context.step(step);
}

}  // namespace

FakeProvisioner::FakeProvisioner(std::string admin_address, std::string log_directory)
    : admin_address_(std::move(admin_address)), log_directory_(std::move(log_directory)) {}

void FakeProvisioner::Note(const std::string& call, const v1::ClusterSelector& cluster) {
  std::lock_guard<std::mutex> lock(mutex_);
  calls_.push_back(absl::StrCat(call, " ", NameOf(cluster)));
}

void FakeProvisioner::Tell(const std::string& cluster, const std::string& component, const std::string& type) {
  if (on_event) {
    on_event({.cluster = cluster,
              .component = component,
              .type = type,
              .message = absl::StrCat(component, " ", type),
              .duration = absl::Milliseconds(5)});
  }
}

std::vector<std::string> FakeProvisioner::calls() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return calls_;
}

v1::ClusterSelector FakeProvisioner::admin_selector() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return admin_selector_;
}

absl::StatusOr<v1::ValidateClusterResponse> FakeProvisioner::Validate(const v1::ValidateClusterRequest& request) {
  Note("validate", request.cluster());
  v1::ValidateClusterResponse response;
  v1::CheckResult* binaries = response.add_checks();
  binaries->set_check("binaries");
  binaries->set_ok(true);
  binaries->set_detail("postgres 15.20");
  v1::CheckResult* disk = response.add_checks();
  disk->set_check("disk");
  disk->set_detail("2 GiB are free");
  disk->set_warning(true);
  if (absl::StartsWith(NameOf(request.cluster()), "unfit")) {
    v1::CheckResult* ports = response.add_checks();
    ports->set_check("ports");
    ports->set_detail("port 15432 is in use by nginx (pid 7)");
    ports->set_hint("stop it");
  }
  return response;
}

absl::StatusOr<v1::PlanClusterResponse> FakeProvisioner::Plan(const v1::PlanClusterRequest& request) {
  v1::PlanClusterResponse plan;
  plan.set_cluster(NameOf(request.cluster()));
  plan.add_steps()->set_id("etcd");
  return plan;
}

absl::StatusOr<bool> FakeProvisioner::Bootstrap(const v1::BootstrapClusterRequest& request, OperationContext& context) {
  Note("bootstrap", request.cluster());
  std::string name = NameOf(request.cluster());
  Step(context, "etcd", v1::STEP_STATE_RUNNING);
  if (absl::StartsWith(name, "slow")) {
    return context.cancel->WaitUntil(context.deadline)
               ? absl::Status(absl::CancelledError("cancelled"))
               : MakeError(absl::StatusCode::kDeadlineExceeded, "etcd is not ready", {.reason = "NOT_READY"});
  }
  if (absl::StartsWith(name, "broken")) {
    return MakeError(absl::StatusCode::kInternal, "etcd ended with exit status 1",
                     {.reason = "COMPONENT_EXITED",
                      .hint = "see multigres logs etcd",
                      .subject = "etcd",
                      .log_tail = {"first", "bad \xFF byte"}});
  }
  Step(context, "etcd", v1::STEP_STATE_DONE);
  Tell(name, "etcd", "started");
  std::lock_guard<std::mutex> lock(mutex_);
  return running_[name];
}

absl::StatusOr<bool> FakeProvisioner::ProvisionDatabase(const v1::ProvisionDatabaseRequest& request,
                                                        OperationContext& context) {
  Note("database", request.cluster());
  Step(context, "zone1", v1::STEP_STATE_DONE);
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(running_[NameOf(request.cluster())], true);
}

absl::Status FakeProvisioner::DeprovisionDatabase(const v1::DeprovisionDatabaseRequest& request, OperationContext&) {
  Note("deprovision", request.cluster());
  return absl::OkStatus();
}

absl::StatusOr<bool> FakeProvisioner::ProvisionComponent(const v1::ProvisionComponentRequest& request,
                                                         OperationContext&) {
  Note(absl::StrCat("start ", request.component()), request.cluster());
  Tell(NameOf(request.cluster()), request.component(), "started");
  return false;
}

absl::StatusOr<bool> FakeProvisioner::DeprovisionComponent(const v1::DeprovisionComponentRequest& request,
                                                           OperationContext&) {
  Note(absl::StrCat("stop ", request.component()), request.cluster());
  Tell(NameOf(request.cluster()), request.component(), "exited");
  return false;
}

absl::StatusOr<bool> FakeProvisioner::Teardown(const v1::TeardownClusterRequest& request, OperationContext& context) {
  Note(request.clean() ? "clean" : "teardown", request.cluster());
  Step(context, "etcd", v1::STEP_STATE_DONE);
  std::lock_guard<std::mutex> lock(mutex_);
  return !std::exchange(running_[NameOf(request.cluster())], false);
}

absl::StatusOr<v1::ListClusterDataResponse> FakeProvisioner::ListData(const v1::ListClusterDataRequest& request) {
  v1::ListClusterDataResponse response;
  response.add_entries()->set_path(absl::StrCat("/fake/", NameOf(request.cluster())));
  return response;
}

absl::StatusOr<v1::ClusterStatus> FakeProvisioner::Status(const v1::GetClusterStatusRequest& request, absl::Time) {
  std::lock_guard<std::mutex> lock(mutex_);
  bool running = running_[NameOf(request.cluster())];
  v1::ClusterStatus status;
  status.set_schema_version(1);
  status.set_cluster(NameOf(request.cluster()));
  status.set_state(running ? "running" : "stopped");
  v1::ComponentStatus* etcd = status.add_components();
  etcd->set_name("etcd");
  etcd->set_kind("etcd");
  etcd->set_state(running ? "running" : "stopped");
  if (running) {
    v1::Endpoint* endpoint = status.add_endpoints();
    endpoint->set_kind("postgres-rw");
    endpoint->set_port(15432);
  }
  return status;
}

std::vector<Provisioner::ClusterInfo> FakeProvisioner::Clusters() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<ClusterInfo> clusters;
  for (const auto& [name, running] : running_) {
    clusters.push_back({.name = name, .root_dir = absl::StrCat("/fake/", name), .cells = 3});
  }
  return clusters;
}

absl::StatusOr<Provisioner::ClusterInfo> FakeProvisioner::Resolve(const v1::ClusterSelector& cluster) {
  std::string name = NameOf(cluster);
  if (absl::StartsWith(name, "none")) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no cluster ", name),
                     {.reason = "CLUSTER_NOT_FOUND", .hint = "multigres list"});
  }
  return ClusterInfo{.name = name, .root_dir = absl::StrCat("/fake/", name), .cells = 3};
}

absl::StatusOr<Provisioner::ClusterInfo> FakeProvisioner::Register(const v1::ClusterSelector& cluster, int cells) {
  std::lock_guard<std::mutex> lock(mutex_);
  running_.emplace(NameOf(cluster), false);
  return ClusterInfo{.name = NameOf(cluster), .root_dir = absl::StrCat("/fake/", NameOf(cluster)), .cells = cells};
}

absl::StatusOr<std::vector<Provisioner::LogSource>> FakeProvisioner::LogSources(const v1::ClusterSelector&) {
  return std::vector<LogSource>{{.component = "etcd", .directory = log_directory_}};
}

absl::StatusOr<Provisioner::Connection> FakeProvisioner::GetConnection(const v1::ClusterSelector&, const std::string&,
                                                                       const std::string& database, bool read_only) {
  return Connection{.host = "127.0.0.1",
                    .user = "postgres",
                    .database = database.empty() ? "postgres" : database,
                    .passfile = "/fake dir/it's",
                    .psql = "",
                    .port = read_only ? 15433 : 15432};
}

absl::StatusOr<std::string> FakeProvisioner::AdminAddress(const v1::ClusterSelector& cluster) {
  std::lock_guard<std::mutex> lock(mutex_);
  admin_selector_ = cluster;
  if (admin_address_.empty()) {
    return MakeError(absl::StatusCode::kUnavailable, "the cluster does not run", {.reason = "CLUSTER_STOPPED"});
  }
  return admin_address_;
}

absl::StatusOr<std::string> FakeProvisioner::AdminToken(const v1::ClusterSelector&) { return "fake-token"; }

absl::StatusOr<std::vector<v1::ComponentSpec>> FakeProvisioner::Specs(const v1::ClusterSelector&) {
  v1::ComponentSpec etcd;
  etcd.set_name("etcd");
  etcd.set_restart("always");
  return std::vector<v1::ComponentSpec>{etcd};
}

absl::StatusOr<int> FakeProvisioner::Signal(const v1::ClusterSelector& cluster, const std::string& component,
                                            int signal, bool) {
  Note(absl::StrCat("signal ", signal, " ", component), cluster);
  return 4711;
}

absl::Status FakeProvisioner::Recover() { return absl::OkStatus(); }

}  // namespace mg::provisioners
