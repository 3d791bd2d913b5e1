/// multiadmin.MultiadminService over gRPC. A list call that could not read every cell names those in the trailing
/// metadata `multigres-partial-cells`, with the reasons in `multigres-partial-errors`. Calls that are not there yet
/// answer UNIMPLEMENTED.
#pragma once

#include "components/multiadmin/admin.h"
#include "components/multiadmin/backups.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/shard.grpc.pb.h"

namespace mg::multiadmin {

class GrpcService final : public pb::MultiadminService::Service {
 public:
  GrpcService(Admin* admin, Backups* backups) : admin_(admin), backups_(backups) {}

  grpc::Status GetCell(grpc::ServerContext*, const pb::GetCellRequest*, pb::GetCellResponse*) override;
  grpc::Status GetCellNames(grpc::ServerContext*, const pb::GetCellNamesRequest*, pb::GetCellNamesResponse*) override;
  grpc::Status GetDatabase(grpc::ServerContext*, const pb::GetDatabaseRequest*, pb::GetDatabaseResponse*) override;
  grpc::Status GetDatabaseNames(grpc::ServerContext*, const pb::GetDatabaseNamesRequest*,
                                pb::GetDatabaseNamesResponse*) override;
  grpc::Status GetGateways(grpc::ServerContext*, const pb::GetGatewaysRequest*, pb::GetGatewaysResponse*) override;
  grpc::Status GetPoolers(grpc::ServerContext*, const pb::GetPoolersRequest*, pb::GetPoolersResponse*) override;
  grpc::Status GetOrchs(grpc::ServerContext*, const pb::GetOrchsRequest*, pb::GetOrchsResponse*) override;
  grpc::Status GetPoolerStatus(grpc::ServerContext*, const pb::GetPoolerStatusRequest*,
                               pb::GetPoolerStatusResponse*) override;
  grpc::Status SetPostgresRestartsEnabled(grpc::ServerContext*, const pb::SetPostgresRestartsEnabledRequest*,
                                          pb::SetPostgresRestartsEnabledResponse*) override;

  grpc::Status SwitchPrimary(grpc::ServerContext*, const pb::SwitchPrimaryRequest*,
                             pb::SwitchPrimaryResponse*) override;

  grpc::Status Backup(grpc::ServerContext*, const pb::BackupRequest*, pb::BackupResponse*) override;
  grpc::Status GetBackupJobStatus(grpc::ServerContext*, const pb::GetBackupJobStatusRequest*,
                                  pb::GetBackupJobStatusResponse*) override;
  grpc::Status GetBackups(grpc::ServerContext*, const pb::GetBackupsRequest*, pb::GetBackupsResponse*) override;
  grpc::Status ExpireBackups(grpc::ServerContext*, const pb::ExpireBackupsRequest*,
                             pb::ExpireBackupsResponse*) override;
  grpc::Status VerifyBackups(grpc::ServerContext*, const pb::VerifyBackupsRequest*,
                             pb::VerifyBackupsResponse*) override;

 private:
  Admin* admin_;
  Backups* backups_;
};

/// multigres.admin.v1.ShardService.
class ShardGrpcService final : public multigres::admin::v1::ShardService::Service {
 public:
  explicit ShardGrpcService(Admin* admin) : admin_(admin) {}
  grpc::Status SwitchPrimary(grpc::ServerContext*, const multigres::admin::v1::SwitchPrimaryRequest*,
                             multigres::admin::v1::SwitchPrimaryResponse*) override;

 private:
  Admin* admin_;
};

}  // namespace mg::multiadmin
