/// Databases beyond the cluster's default one: how they come, what goes with them, how they leave. Blocking; within an
/// operation, which excludes others on the same cluster.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "agentd/provisioners/contract.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/provisioners/local/watchman.h"

namespace mg::local {

/// INVALID_ARGUMENT with the rule: lower-case letters, digits, '_' and '-', a letter first, at most 40; not one of
/// PostgreSQL's own.
absl::Status CheckDatabaseName(const std::string& name);

/// Notes the database in the record of a cluster that runs (`look` is built to look). True: the record did not have it.
/// A request with `create` for one that is there is ALREADY_EXISTS, unless it was never brought up.
absl::StatusOr<bool> EnterDatabase(const Model& look, const v1::ProvisionDatabaseRequest& request, absl::Time deadline);
/// FAILED_PRECONDITION when the configuration changes anything else of what runs than what orchs watch: an 'up' applies
/// that, not the creation of a database. `model` is built for a plan.
absl::Status CheckUnchanged(Model* model);
/// Takes back what EnterDatabase noted; for a database that nothing was made of.
absl::Status EraseDatabase(const Model& model, const std::string& name);

/// NOT_FOUND with the names that there are; FAILED_PRECONDITION for the default database.
absl::Status CheckLater(const Model& model, const std::string& name);

v1::ListDatabaseDataResponse ListDatabaseData(const Model& model, const std::string& name);

/// Writes into the record that the database leaves. FAILED_PRECONDITION when it may have data, and the request neither
/// names its last backup nor wants none.
absl::Status BeginLeaving(const Model& look, const v1::DeprovisionDatabaseRequest& request, const std::string& boot_id);

/// Carries out what the record says of a database that leaves: the orchs stop watching it, its members stop, its
/// records, processes' state and data go, and its backups where they are not wanted. Can be repeated after any
/// interruption. `model` is built for a start.
absl::Status FinishLeaving(const Model& model, const std::string& name, supervisor::Supervisor* supervisor,
                           Watchman* watchman, ComponentRpc* rpc, unsigned uid,
                           provisioners::OperationContext& context);

}  // namespace mg::local
