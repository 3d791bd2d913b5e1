/// The way from nothing to a cluster that serves, as a graph of steps. The same steps are shown by a plan and carried
/// out by a bring-up.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/contract.h"
#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// Which part of the graph.
enum class Part {
  kBase,      ///< etcd, records, Admin API
  kDatabase,  ///< the database's components in every cell, and what they need
  kAll,
};

/// One step: what a plan says of it. `kind` tells how it is carried out.
struct PlannedStep {
  enum class Kind { kPreflight, kFiles, kTopology, kComponent, kPostgres, kReplication, kServe, kSync };
  Kind kind;
  std::string id, group;
  std::string action;  ///< check, write, start, keep, wait
  std::string summary;
  std::vector<std::string> after;
  const v1::ComponentSpec* spec = nullptr;  ///< of the model; for kComponent, kPostgres and kServe
  std::string database = {};                ///< for kReplication and kServe; empty: the default one
};

/// Steps in an order that respects `after`. `running`: components that run now. `database`: with kDatabase the later
/// database that is meant; empty: the default one. Databases that leave the cluster have none. Pure.
std::vector<PlannedStep> PlanSteps(const Model& model, Part part, const std::set<std::string>& running,
                                   const std::string& database = "");

v1::PlanClusterResponse PlanResponse(const Model& model, const std::vector<PlannedStep>& steps);

/// Carries it out. True: nothing had to be done.
absl::StatusOr<bool> BringUp(const Model& model, Part part, supervisor::Supervisor* supervisor, Watchman* watchman,
                             ComponentRpc* rpc, unsigned uid, provisioners::OperationContext& context,
                             const std::string& database = "");

}  // namespace mg::local
