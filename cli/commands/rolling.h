/// Restarts every PostgreSQL of a cluster, one at a time.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/commands/context.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

/// The standbys first, each until it streams again; then the primary hands over to one of them and comes back as a
/// standby. FAILED_PRECONDITION when the cluster is not whole; what was done before an error stays done.
absl::StatusOr<multigres::cli::v1::RollingOutput> RestartRolling(Context& context, absl::Time deadline);

}  // namespace mg::cli
