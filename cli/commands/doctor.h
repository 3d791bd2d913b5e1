/// The doctor's checks, for the commands that show or keep what it finds.
#pragma once

#include "cli/client/agent_client.h"
#include "cli/commands/context.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

/// Looks at the machine and at what is left on it; puts right what is safe when `fix` says so. Starts no agent.
multigres::cli::v1::DoctorOutput Examine(Context& context, const AgentPlace& place, bool fix);

}  // namespace mg::cli
