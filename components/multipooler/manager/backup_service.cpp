// gRPC's side of a restore.
#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/manager_service.h"
#include "components/multipooler/manager/service_calls.h"
#include "multigres/pooler/v1/backup.grpc.pb.h"

namespace mg::multipooler {
namespace {

namespace v1 = multigres::pooler::v1;

class BackupService final : public v1::PoolerBackupService::Service {
 public:
  explicit BackupService(Manager* manager) : manager_(manager) {}

  grpc::Status ResetForRestore(grpc::ServerContext* context, const v1::ResetForRestoreRequest* request,
                               v1::ResetForRestoreResponse* response) override {
    // A replay takes what it takes.
    absl::Duration limit = request->prepare() ? absl::Hours(12) : absl::Minutes(2);
    return Answer(manager_->ResetForRestore(*request, Within(context, limit), Left(context)), response, rpc::ToGrpc);
  }

  grpc::Status GetRestoreOutcome(grpc::ServerContext* context, const v1::GetRestoreOutcomeRequest* request,
                                 v1::GetRestoreOutcomeResponse* response) override {
    // Before the caller's end, so that he hears of it.
    absl::Time deadline =
        std::min(absl::FromChrono(context->deadline()) - absl::Milliseconds(100), absl::Now() + absl::Seconds(30));
    *response = manager_->RestoreOutcome(*request, deadline);
    return grpc::Status::OK;
  }

 private:
  Manager* manager_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeBackupService(Manager* manager) { return std::make_unique<BackupService>(manager); }

}  // namespace mg::multipooler
