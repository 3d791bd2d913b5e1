/// Carries out those changes of a running cluster that a bring-up by itself does not: cells that are removed, and
/// settings of PostgreSQL. Blocking; within an operation.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agentd/provisioners/contract.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/provisioners/local/watchman.h"

namespace mg::local {

/// Stops everything of these cells and removes their records; data is kept. `before` is the cluster as it was.
absl::Status RemoveCells(const Model& before, const std::vector<std::string>& cells, supervisor::Supervisor* supervisor,
                         Watchman* watchman, ComponentRpc* rpc, provisioners::OperationContext& context);

/// Has every PostgreSQL among `changes` read its settings again, or restarts it: standbys first and the leader last.
/// Between two restarts `settle` waits until the cluster is
/// whole again.
absl::Status ApplyPostgresSettings(const Model& model, const std::vector<v1::ComponentChange>& changes,
                                   supervisor::Supervisor* supervisor, Watchman* watchman, ComponentRpc* rpc,
                                   provisioners::OperationContext& context,
                                   const std::function<absl::Status()>& settle);

}  // namespace mg::local
