/// An agent that takes connections and answers nobody: its process was stopped, or hangs. Whoever waits for it is told
/// which process that is, rather than of time that is up.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/client/agent_client.h"

namespace mg::cli {

/// DEADLINE_EXCEEDED with the reason AGENT_STUCK where the agent's process has been stopped by a signal and does not go
/// on within `patience`. Costs a look into /proc; OK too where it cannot be told which process the agent is.
absl::Status CheckGoesOn(const AgentPlace& place, absl::Duration patience);

/// The same, and where the agent that runs gives no sign of life within `limit`. For after a call that timed out.
absl::Status CheckAnswers(const AgentOptions& options, absl::Duration limit);

}  // namespace mg::cli
