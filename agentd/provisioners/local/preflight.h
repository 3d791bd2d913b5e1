/// What can be known to go wrong before anything is started. Changes nothing.
#pragma once

#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// Every check that was made, in order. `model` was built for a plan.
v1::ValidateClusterResponse Preflight(const Model& model, const MachineFacts& facts, unsigned uid);

}  // namespace mg::local
