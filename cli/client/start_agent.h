/// Starting the agent and waiting until it serves. Private to cli/client.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/client/agent_client.h"

namespace mg::cli {

/// Spawns an agent, detached from this process, and waits for its word on an inherited pipe that it serves, or that
/// another one does already. Any number of callers at once end with one agent: the agents themselves sort it out by
/// their lock.
absl::Status StartAgent(const AgentOptions& options, const AgentPlace& place, absl::Time deadline);

}  // namespace mg::cli
