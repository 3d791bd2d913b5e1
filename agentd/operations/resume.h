/// Finishes what an agent that died left half done: a bring-up or a stop of a whole cluster.
#pragma once

#include "agentd/operations/registry.h"
#include "agentd/provisioners/contract.h"

namespace mg::operations {

/// Begins an operation for each; a client's `up` or `down` joins it. `provisioner` outlives `registry`.
void ResumeUnfinished(provisioners::Provisioner& provisioner, Registry& registry);

}  // namespace mg::operations
