/// What acts on single components of a cluster. Any thread; what asks a component blocks until it answers.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// FAILED_PRECONDITION: the cluster was never brought up.
absl::Status CheckExists(const Model& model);
/// The process that answers at the Admin API's port is this cluster's multiadmin: whoever else listened there would be
/// shown the agent's token. FAILED_PRECONDITION too where the cluster is stopped, UNAVAILABLE where multiadmin is gone.
absl::Status CheckAdminRuns(const Model& model);
/// PostgreSQL belongs to its pgctld and pooler: they must want it stopped, or they start it again.
void KeepPostgresDown(const Model& model, const v1::ComponentSpec& postgres, ComponentRpc* rpc, absl::Time deadline);
absl::Status LetPostgresRun(const Model& model, const v1::ComponentSpec& postgres, ComponentRpc* rpc,
                            absl::Time deadline);

}  // namespace mg::local
