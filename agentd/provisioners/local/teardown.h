/// The end of a cluster, in an order that loses nothing and is quick: whoever would start PostgreSQL again first, then
/// the leader's PostgreSQL (its standbys get everything it has), then the others, then all that remains.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/contract.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/supervisor/supervisor.h"

namespace mg::local {

/// What of the cluster.
enum class StopPart {
  kAll,
  kDatabase,  ///< the default database, with the orchs and gateways
  kLater,     ///< the members of one later database
};

/// Stops what runs and waits for its end. True: nothing ran. Obeys no cancellation: a half-stopped cluster helps
/// nobody. `database`: with kLater.
absl::StatusOr<bool> StopCluster(const Model& model, StopPart part, supervisor::Supervisor* supervisor,
                                 ComponentRpc* rpc, provisioners::OperationContext& context,
                                 const std::string& database = "");

/// A PostgreSQL that runs in a pooler's data directory without a living shim, found by its postmaster.pid; proven by
/// its working directory.
struct Leftover {
  std::string component;
  pid_t pid = 0;
};
std::vector<Leftover> FindLeftovers(const Model& model);

/// Everything that a clean teardown removes, by what exists now.
std::vector<v1::DataEntry> ListClusterData(const Model& model);

/// Removes it, and the cluster's directory when that is ours and empty.
absl::Status RemoveClusterData(const Model& model);

}  // namespace mg::local
