/// multigres.admin.v1.DatabaseService: databases on demand. It keeps nothing of its own: what makes and ends components
/// is whoever serves the Provisioner API. Any thread; streaming calls block their thread until the operation's end.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "components/multiadmin/admin.h"
#include "components/multiadmin/backups.h"
#include "components/multiadmin/grpc_service.h"
#include "multigres/admin/v1/database.pb.h"
#include "multigres/provisioner/v1/provisioner.grpc.pb.h"

namespace mg::multiadmin {

/// Where the Provisioner API is, and which of its clusters is this one.
struct ProvisionerPlace {
  std::string address;  ///< `unix:/path` or `host:port`; empty: there is none
  std::string cluster;
};

/// What the calls do, without a transport. `admin` and `backups` must outlive it.
class Databases {
 public:
  /// Takes one news; false: nobody listens any more. The operation goes on then: whoever wants its end calls it off at
  /// the provisioner.
  using Listener = std::function<bool(multigres::provisioner::v1::ProvisionProgress&&)>;

  Databases(Admin* admin, Backups* backups, ProvisionerPlace place)
      : admin_(admin), backups_(backups), place_(std::move(place)) {}

  absl::Status Create(const multigres::admin::v1::CreateDatabaseRequest& request, absl::Time deadline,
                      const Listener& listener);
  absl::StatusOr<multigres::admin::v1::PlanDeleteDatabaseResponse> PlanDelete(
      const multigres::admin::v1::PlanDeleteDatabaseRequest& request, absl::Time deadline);
  absl::Status Delete(const multigres::admin::v1::DeleteDatabaseRequest& request, absl::Time deadline,
                      const Listener& listener);
  absl::StatusOr<multigres::admin::v1::ListDatabasesResponse> List(absl::Time deadline, CellErrors* errors);

 private:
  using Stub = multigres::provisioner::v1::ProvisionerService::Stub;
  /// FAILED_PRECONDITION: no provisioner; UNAVAILABLE: it does not answer.
  absl::StatusOr<std::unique_ptr<Stub>> Dial(absl::Time deadline) const;
  void Select(multigres::provisioner::v1::ClusterSelector* selector) const { selector->set_name(place_.cluster); }

  /// The name of a new backup of a database, from a standby where one serves, else from the primary.
  absl::StatusOr<std::string> BackUp(const std::string& database, absl::Time deadline, const Listener& listener);
  /// The same, once a backup that is under way has ended; ABORTED: it has not by the deadline.
  absl::StatusOr<std::string> LastBackup(const std::string& database, absl::Time deadline, const Listener& listener);

  Admin* const admin_;
  Backups* const backups_;
  const ProvisionerPlace place_;
};

/// DatabaseService over gRPC, its streams included. Both must outlive it.
class DatabaseGrpcService final : public GrpcService {
 public:
  DatabaseGrpcService(const Methods* methods, Databases* databases);
};

}  // namespace mg::multiadmin
