#include "components/multiadmin/backup_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/rpc/rpc.h"

namespace mg::multiadmin {
namespace {

constexpr absl::Duration kLimit = absl::Hours(12);
constexpr absl::Duration kTimeToAnswer = absl::Milliseconds(200);

}  // namespace

grpc::Status BackupGrpcService::RestoreBackup(grpc::ServerContext* context,
                                              const multigres::admin::v1::RestoreBackupRequest* request,
                                              multigres::admin::v1::RestoreBackupResponse* response) {
  auto result = backups_->Restore(*request, std::min(absl::FromChrono(context->deadline()), absl::Now() + kLimit));
  if (!result.ok()) {
    return rpc::ToGrpc(result.status());
  }
  *response = *std::move(result);
  return grpc::Status::OK;
}

grpc::Status BackupGrpcService::WaitBackupJob(grpc::ServerContext* context,
                                              const multigres::admin::v1::WaitBackupJobRequest* request,
                                              multigres::admin::v1::WaitBackupJobResponse* response) {
  absl::Time deadline = std::min(absl::FromChrono(context->deadline()) - kTimeToAnswer, absl::Now() + kLimit);
  auto result = backups_->AwaitJob(request->job(), deadline);
  if (!result.ok()) {
    return rpc::ToGrpc(result.status());
  }
  *response->mutable_job() = *std::move(result);
  return grpc::Status::OK;
}

}  // namespace mg::multiadmin
