#include "agentd/provisioners/contract.h"

namespace mg::provisioners {

absl::StatusOr<bool> Provisioner::BringUp(const v1::BootstrapClusterRequest& request, OperationContext& context) {
  absl::StatusOr<bool> same_base = Bootstrap(request, context);
  if (!same_base.ok()) {
    return same_base;
  }
  if (context.cancel->cancelled()) {
    return absl::CancelledError("cancelled");
  }
  v1::ProvisionDatabaseRequest database;
  *database.mutable_cluster() = request.cluster();
  *database.mutable_options() = request.options();
  absl::StatusOr<bool> same_database = ProvisionDatabase(database, context);
  if (!same_database.ok()) {
    return same_database;
  }
  return *same_base && *same_database;
}

}  // namespace mg::provisioners
