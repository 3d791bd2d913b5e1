#include "components/multiadmin/pooler_statuses.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/label.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr int kMostPoolers = 5000;
constexpr size_t kAtOnce = 256;
constexpr absl::Duration kLimit = absl::Seconds(3);

struct Call {
  std::shared_ptr<multipoolermanager::MultipoolerManager::Stub> stub;
  grpc::ClientContext context;
  multipoolermanagerdata::StatusRequest request;
  multipoolermanagerdata::StatusResponse response;
  v1::PoolerStatus* out = nullptr;
};

void Fail(const absl::Status& status, v1::PoolerStatus* out) {
  out->set_error_code(static_cast<int>(status.code()));
  out->set_error(std::string(status.message()));
}

}  // namespace

absl::Status PoolerFailed(absl::string_view what, const clustermetadata::ID& id, const grpc::Status& called) {
  const std::string message = absl::StrCat("failed to ", what, " pooler '", Label(id), "': ", called.error_message());
  if (called.error_code() == grpc::StatusCode::UNAVAILABLE ||
      called.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return MakeError(absl::StatusCode::kUnavailable, message, {.reason = "POOLER_SILENT"});
  }
  return absl::Status(static_cast<absl::StatusCode>(called.error_code()), message);
}

absl::Time EndOfPatience(absl::Time deadline) {
  const absl::Time now = absl::Now();
  return std::min(now + kLimit, now + (deadline - now) * 0.8);
}

absl::StatusOr<v1::GetPoolerStatusesResponse> GetPoolerStatuses(Admin* admin,
                                                                const v1::GetPoolerStatusesRequest& request,
                                                                absl::Time deadline) {
  if (request.pooler_ids_size() > kMostPoolers) {
    return absl::InvalidArgumentError(absl::StrCat("at most ", kMostPoolers, " poolers are asked at once"));
  }
  v1::GetPoolerStatusesResponse response;
  std::mutex mutex;
  std::condition_variable ended;
  size_t under_way = 0;
  for (const clustermetadata::ID& id : request.pooler_ids()) {
    *response.add_statuses()->mutable_pooler_id() = id;
  }
  for (v1::PoolerStatus& out : *response.mutable_statuses()) {
    auto manager = admin->Manager(out.pooler_id(), deadline);
    if (!manager.ok()) {
      Fail(manager.status(), &out);
      continue;
    }
    auto call = std::make_shared<Call>();
    call->stub = *std::move(manager);
    call->out = &out;
    {
      std::unique_lock lock(mutex);
      ended.wait(lock, [&] { return under_way < kAtOnce; });
      ++under_way;
    }
    rpc::SetDeadline(&call->context, EndOfPatience(deadline));
    call->stub->async()->Status(&call->context, &call->request, &call->response, [&, call](const grpc::Status& status) {
      if (status.ok()) {
        *call->out->mutable_status() = std::move(*call->response.mutable_status());
        *call->out->mutable_consensus_status() = std::move(*call->response.mutable_consensus_status());
      } else {
        Fail(PoolerFailed("get status of", call->out->pooler_id(), status), call->out);
      }
      // Under the lock, as the waiting caller's end takes these with it.
      std::lock_guard lock(mutex);
      --under_way;
      ended.notify_all();
    });
  }
  std::unique_lock lock(mutex);
  ended.wait(lock, [&] { return under_way == 0; });
  return response;
}

}  // namespace mg::multiadmin
