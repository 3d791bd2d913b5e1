/// What the agent's operations do, in terms of the Provisioner contract: each is a short sequence of its calls.
/// Blocking; run on an operation's thread. A true result: nothing had to be done.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "agentd/provisioners/contract.h"

namespace mg::operations {

/// Preflight, bootstrap, default database.
absl::StatusOr<bool> BringUp(provisioners::Provisioner& provisioner,
                             const multigres::provisioner::v1::ClusterSelector& cluster, int cells,
                             provisioners::OperationContext& context);

absl::StatusOr<bool> TakeDown(provisioners::Provisioner& provisioner,
                              const multigres::provisioner::v1::ClusterSelector& cluster, bool clean,
                              provisioners::OperationContext& context);

/// Takes it down without clean, then BringUp; it stays wanted in between.
absl::StatusOr<bool> Restart(provisioners::Provisioner& provisioner,
                             const multigres::provisioner::v1::ClusterSelector& cluster,
                             provisioners::OperationContext& context);

absl::StatusOr<bool> StartComponent(provisioners::Provisioner& provisioner,
                                    const multigres::provisioner::v1::ClusterSelector& cluster,
                                    const std::string& component, provisioners::OperationContext& context);

absl::StatusOr<bool> StopComponent(provisioners::Provisioner& provisioner,
                                   const multigres::provisioner::v1::ClusterSelector& cluster,
                                   const std::string& component, provisioners::OperationContext& context);

/// Stops and starts; it stays wanted in between, so that it runs again though the agent dies there.
absl::StatusOr<bool> RestartComponent(provisioners::Provisioner& provisioner,
                                      const multigres::provisioner::v1::ClusterSelector& cluster,
                                      const std::string& component, provisioners::OperationContext& context);

/// The failed checks of a validation as one error; OK when none failed that would stop a bring-up.
absl::Status PreflightStatus(const multigres::provisioner::v1::ValidateClusterResponse& response);

}  // namespace mg::operations
