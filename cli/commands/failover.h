/// What happened to the primary, read from the components' logs through the agent.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/commands/context.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

/// The request for the records that tell of changes of the primary.
multigres::agent::v1::TailLogsRequest FailoverRecords(const Context& context, absl::Time since);

/// Since then, oldest first. Blocks until the deadline at most.
absl::StatusOr<std::vector<multigres::cli::v1::FailoverOutput>> ReadFailovers(Context& context, absl::Time since,
                                                                              absl::Time deadline);

/// Shows the last one, of `database` where one is named. The exit status.
int ShowLastFailover(Context& context, const std::optional<std::string>& database);

}  // namespace mg::cli
