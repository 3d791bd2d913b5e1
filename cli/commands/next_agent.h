/// What a command that follows does when its agent is gone: it goes on with the next one after a crash or a restart,
/// and ends after a stop, which the user meant. One thread; blocks.
#pragma once

#include "absl/status/status.h"

namespace mg::cli {

class Context;

/// True when a stream ended because its agent did.
bool AgentIsGone(const absl::Status& ended);

/// After a stream that ended so: OK when Context::Agent has the next agent; UNAVAILABLE with the reason AGENT_STOPPED.
absl::Status NextAgent(Context& context, const absl::Status& ended);

}  // namespace mg::cli
