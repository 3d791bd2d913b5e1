/// multigres.admin.v1.BackupService over gRPC.
#pragma once

#include "components/multiadmin/backups.h"
#include "multigres/admin/v1/backup.grpc.pb.h"

namespace mg::multiadmin {

class BackupGrpcService final : public multigres::admin::v1::BackupService::Service {
 public:
  explicit BackupGrpcService(Backups* backups) : backups_(backups) {}
  grpc::Status RestoreBackup(grpc::ServerContext* context, const multigres::admin::v1::RestoreBackupRequest* request,
                             multigres::admin::v1::RestoreBackupResponse* response) override;
  grpc::Status WaitBackupJob(grpc::ServerContext* context, const multigres::admin::v1::WaitBackupJobRequest* request,
                             multigres::admin::v1::WaitBackupJobResponse* response) override;

 private:
  Backups* backups_;
};

}  // namespace mg::multiadmin
