#include "absl/strings/str_cat.h"
#include "agentd/provisioners/contract.h"
#include "common/status/status.h"

namespace mg::provisioners {

absl::StatusOr<v1::ListDatabaseDataResponse> Provisioner::ListDatabaseData(const v1::ListDatabaseDataRequest&) {
  return absl::UnimplementedError(flavour() + " runs one database per cluster");
}

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

absl::Status Provisioner::InjectFault(const v1::InjectFaultRequest&, OperationContext&) {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("faults are injected into local clusters only; this one is of the flavour ", flavour()),
                   {.reason = "FLAVOUR_CANNOT", .hint = "try it on a cluster of this machine: 'multigres up'"});
}

}  // namespace mg::provisioners
