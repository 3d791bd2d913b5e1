/// The cluster's records in the topology: one per cell, and the database's. Facts: contract/topology.md section 2.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/provisioners/local/executor.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// Makes what is missing; a cell's record that names another etcd address (its port has moved) is corrected. Skipped:
/// everything was there.
absl::StatusOr<StepOutcome> WriteRecords(const Model& model, absl::Time deadline);

/// Removes the default database with all that is registered for it; the cells stay.
absl::Status RemoveDatabaseRecords(const Model& model, absl::Time deadline);

/// Removes a later database, and the poolers that are registered for it.
absl::Status RemoveLaterDatabaseRecords(const Model& model, const std::string& database, absl::Time deadline);

/// INVALID_ARGUMENT for what is no durability policy, or one that so many cells cannot keep. Empty: as the cluster's.
absl::Status CheckPolicy(const std::string& policy, size_t cells);

/// Removes one cell, with all that is registered in it.
absl::Status RemoveCellRecords(const Model& model, const std::string& cell, absl::Time deadline);

}  // namespace mg::local
