#include "agentd/operations/cluster_operations.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/status/status.h"

namespace mg::operations {
namespace {

namespace v1 = multigres::provisioner::v1;

std::string ReasonOf(const std::string& check) {
  static const auto* const kReasons =
      new std::map<std::string, std::string>{{"binaries", "PROGRAM_MISSING"},
                                             {"ports", "PORT_IN_USE"},
                                             {"disk", "DISK_FULL"},
                                             {"socket-path", "SOCKET_PATH_TOO_LONG"},
                                             {"leftovers", "LEFTOVERS_FOUND"},
                                             {"user", "USER_UNSUITABLE"},
                                             {"directory", "DIRECTORY_NOT_WRITABLE"},
                                             {"configuration", "CONFIGURATION_INVALID"}};
  auto it = kReasons->find(check);
  return it == kReasons->end() ? "PREFLIGHT_FAILED" : it->second;
}

void Report(provisioners::OperationContext& context, v1::StepState state, const std::string& detail, absl::Time start) {
  v1::StepProgress step;
  step.set_id("preflight");
  step.set_group("preflight");
  step.set_state(state);
  step.set_detail(detail);
  timespec elapsed = absl::ToTimespec(absl::Now() - start);
  step.mutable_elapsed()->set_seconds(elapsed.tv_sec);
  step.mutable_elapsed()->set_nanos(static_cast<int>(elapsed.tv_nsec));
  context.step(step);
}

absl::Status Preflight(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster, int cells,
                       provisioners::OperationContext& context) {
  absl::Time start = absl::Now();
  Report(context, v1::STEP_STATE_RUNNING, "", start);
  v1::ValidateClusterRequest request;
  *request.mutable_cluster() = cluster;
  request.set_cells(cells);
  absl::StatusOr<v1::ValidateClusterResponse> response = provisioner.Validate(request);
  absl::Status status = response.ok() ? PreflightStatus(*response) : response.status();
  if (!status.ok()) {
    Report(context, v1::STEP_STATE_FAILED, std::string(status.message()), start);
    return status;
  }
  std::vector<std::string> found;
  for (const v1::CheckResult& check : response->checks()) {
    if (!check.ok()) {
      context.message(absl::StrCat("warning: ", check.detail(), check.hint().empty() ? "" : " - ", check.hint()));
    } else if (check.check() == "binaries") {
      found.push_back(check.detail());
    }
  }
  Report(context, v1::STEP_STATE_DONE, absl::StrJoin(found, " · "), start);
  return absl::OkStatus();
}

absl::Status CheckCancelled(const provisioners::OperationContext& context) {
  return context.cancel->cancelled() ? absl::CancelledError("cancelled") : absl::OkStatus();
}

/// What a composite operation hands to its parts: they belong to it and must not wait for it.
v1::OperationOptions PartOf(const provisioners::OperationContext& context) {
  v1::OperationOptions options;
  options.set_parent_operation_id(context.operation_id);
  return options;
}

}  // namespace

absl::Status PreflightStatus(const v1::ValidateClusterResponse& response) {
  std::vector<std::string> problems, hints;
  ErrorDetail detail;
  for (const v1::CheckResult& check : response.checks()) {
    if (check.ok() || check.warning()) {
      continue;
    }
    if (problems.empty()) {
      detail.reason = ReasonOf(check.check());
    }
    problems.push_back(check.detail());
    if (!check.hint().empty()) {
      hints.push_back(check.hint());
    }
  }
  if (problems.empty()) {
    return absl::OkStatus();
  }
  detail.hint = absl::StrJoin(hints, "; ");
  return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrJoin(problems, "; "), std::move(detail));
}

absl::StatusOr<bool> BringUp(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster, int cells,
                             provisioners::OperationContext& context) {
  MG_RETURN_IF_ERROR(Preflight(provisioner, cluster, cells, context));
  MG_RETURN_IF_ERROR(CheckCancelled(context));

  v1::BootstrapClusterRequest bootstrap;
  *bootstrap.mutable_cluster() = cluster;
  bootstrap.set_cells(cells);
  *bootstrap.mutable_options() = PartOf(context);
  return provisioner.BringUp(bootstrap, context);
}

absl::StatusOr<bool> TakeDown(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster, bool clean,
                              provisioners::OperationContext& context) {
  v1::TeardownClusterRequest teardown;
  *teardown.mutable_cluster() = cluster;
  teardown.set_clean(clean);
  *teardown.mutable_options() = PartOf(context);
  return provisioner.Teardown(teardown, context);
}

absl::StatusOr<bool> Restart(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster,
                             provisioners::OperationContext& context) {
  v1::TeardownClusterRequest teardown;
  *teardown.mutable_cluster() = cluster;
  teardown.set_restart(true);
  *teardown.mutable_options() = PartOf(context);
  MG_RETURN_IF_ERROR(provisioner.Teardown(teardown, context).status());
  MG_RETURN_IF_ERROR(CheckCancelled(context));
  MG_RETURN_IF_ERROR(BringUp(provisioner, cluster, 0, context).status());
  return false;
}

absl::StatusOr<bool> StartComponent(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster,
                                    const std::string& component, provisioners::OperationContext& context) {
  v1::ProvisionComponentRequest request;
  *request.mutable_cluster() = cluster;
  request.set_component(component);
  *request.mutable_options() = PartOf(context);
  return provisioner.ProvisionComponent(request, context);
}

namespace {

absl::StatusOr<bool> Deprovision(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster,
                                 const std::string& component, bool restart, provisioners::OperationContext& context) {
  v1::DeprovisionComponentRequest request;
  *request.mutable_cluster() = cluster;
  request.set_component(component);
  request.set_restart(restart);
  *request.mutable_options() = PartOf(context);
  return provisioner.DeprovisionComponent(request, context);
}

}  // namespace

absl::StatusOr<bool> StopComponent(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster,
                                   const std::string& component, provisioners::OperationContext& context) {
  return Deprovision(provisioner, cluster, component, /*restart=*/false, context);
}

absl::StatusOr<bool> RestartComponent(provisioners::Provisioner& provisioner, const v1::ClusterSelector& cluster,
                                      const std::string& component, provisioners::OperationContext& context) {
  MG_RETURN_IF_ERROR(Deprovision(provisioner, cluster, component, /*restart=*/true, context).status());
  MG_RETURN_IF_ERROR(StartComponent(provisioner, cluster, component, context).status());
  return false;
}

}  // namespace mg::operations
