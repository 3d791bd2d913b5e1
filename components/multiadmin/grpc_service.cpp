#include "components/multiadmin/grpc_service.h"

#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"

namespace mg::multiadmin {
namespace {

/// The caller's deadline; one of our own where it has none.
absl::Time DeadlineOf(grpc::ServerContext* context) {
  return std::min(absl::FromChrono(context->deadline()), absl::Now() + absl::Seconds(30));
}

template <typename T>
grpc::Status Answer(absl::StatusOr<T> result, T* response) {
  if (!result.ok()) {
    return rpc::ToGrpc(result.status());
  }
  *response = *std::move(result);
  return grpc::Status::OK;
}

template <typename T>
grpc::Status AnswerList(grpc::ServerContext* context, absl::StatusOr<T> result, const CellErrors& errors, T* response) {
  if (!errors.empty()) {
    log::Warn("a list is incomplete", {{"errors", ErrorsText(errors)}});
    context->AddTrailingMetadata("multigres-partial-cells", ErrorCells(errors));
    context->AddTrailingMetadata("multigres-partial-errors", ErrorsText(errors));
  }
  return Answer(std::move(result), response);
}

}  // namespace

grpc::Status GrpcService::GetCell(grpc::ServerContext* context, const pb::GetCellRequest* request,
                                  pb::GetCellResponse* response) {
  return Answer(admin_->GetCell(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::GetCellNames(grpc::ServerContext* context, const pb::GetCellNamesRequest*,
                                       pb::GetCellNamesResponse* response) {
  return Answer(admin_->GetCellNames(DeadlineOf(context)), response);
}
grpc::Status GrpcService::GetDatabase(grpc::ServerContext* context, const pb::GetDatabaseRequest* request,
                                      pb::GetDatabaseResponse* response) {
  return Answer(admin_->GetDatabase(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::GetDatabaseNames(grpc::ServerContext* context, const pb::GetDatabaseNamesRequest*,
                                           pb::GetDatabaseNamesResponse* response) {
  return Answer(admin_->GetDatabaseNames(DeadlineOf(context)), response);
}
grpc::Status GrpcService::GetGateways(grpc::ServerContext* context, const pb::GetGatewaysRequest* request,
                                      pb::GetGatewaysResponse* response) {
  CellErrors errors;
  auto result = admin_->GetGateways(*request, DeadlineOf(context), &errors);
  return AnswerList(context, std::move(result), errors, response);
}
grpc::Status GrpcService::GetPoolers(grpc::ServerContext* context, const pb::GetPoolersRequest* request,
                                     pb::GetPoolersResponse* response) {
  CellErrors errors;
  auto result = admin_->GetPoolers(*request, DeadlineOf(context), &errors);
  return AnswerList(context, std::move(result), errors, response);
}
grpc::Status GrpcService::GetOrchs(grpc::ServerContext* context, const pb::GetOrchsRequest* request,
                                   pb::GetOrchsResponse* response) {
  CellErrors errors;
  auto result = admin_->GetOrchs(*request, DeadlineOf(context), &errors);
  return AnswerList(context, std::move(result), errors, response);
}
grpc::Status GrpcService::GetPoolerStatus(grpc::ServerContext* context, const pb::GetPoolerStatusRequest* request,
                                          pb::GetPoolerStatusResponse* response) {
  return Answer(admin_->GetPoolerStatus(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::SetPostgresRestartsEnabled(grpc::ServerContext* context,
                                                     const pb::SetPostgresRestartsEnabledRequest* request,
                                                     pb::SetPostgresRestartsEnabledResponse* response) {
  return Answer(admin_->SetRestarts(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::SwitchPrimary(grpc::ServerContext* context, const pb::SwitchPrimaryRequest* request,
                                        pb::SwitchPrimaryResponse* response) {
  return Answer(admin_->SwitchPrimary(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::Backup(grpc::ServerContext* context, const pb::BackupRequest* request,
                                 pb::BackupResponse* response) {
  return Answer(backups_->Backup(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::GetBackupJobStatus(grpc::ServerContext* context, const pb::GetBackupJobStatusRequest* request,
                                             pb::GetBackupJobStatusResponse* response) {
  return Answer(backups_->JobStatus(*request, DeadlineOf(context)), response);
}
grpc::Status GrpcService::GetBackups(grpc::ServerContext* context, const pb::GetBackupsRequest* request,
                                     pb::GetBackupsResponse* response) {
  return Answer(backups_->List(*request, DeadlineOf(context)), response);
}
// These two take as long as they take: the caller's own deadline alone ends them.
grpc::Status GrpcService::ExpireBackups(grpc::ServerContext* context, const pb::ExpireBackupsRequest* request,
                                        pb::ExpireBackupsResponse* response) {
  return Answer(backups_->Expire(*request, absl::FromChrono(context->deadline())), response);
}
grpc::Status GrpcService::VerifyBackups(grpc::ServerContext* context, const pb::VerifyBackupsRequest* request,
                                        pb::VerifyBackupsResponse* response) {
  return Answer(backups_->Verify(*request, absl::FromChrono(context->deadline())), response);
}
grpc::Status ShardGrpcService::SwitchPrimary(grpc::ServerContext* context,
                                             const multigres::admin::v1::SwitchPrimaryRequest* request,
                                             multigres::admin::v1::SwitchPrimaryResponse* response) {
  return Answer(admin_->SwitchPrimaryTo(*request, DeadlineOf(context)), response);
}

}  // namespace mg::multiadmin
