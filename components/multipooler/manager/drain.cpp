// Taking this node out of service as a standby, and back into it. The mark is on disk first, so that a restart at any
// moment leaves it as it was asked for.
#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/drained.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/manager_service.h"
#include "components/multipooler/manager/service_calls.h"
#include "multigres/pooler/v1/drain.grpc.pb.h"

namespace mg::multipooler {
namespace {

namespace v1 = multigres::pooler::v1;

constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kLongestPatience = absl::Minutes(1);

class DrainService final : public v1::PoolerDrainService::Service {
 public:
  explicit DrainService(Manager* manager) : manager_(manager) {}

  grpc::Status SetDrain(grpc::ServerContext* context, const v1::SetDrainRequest* request,
                        v1::SetDrainResponse* response) override {
    return Answer(manager_->SetDrain(*request, Within(context, 2 * kLongestPatience)), response, rpc::ToGrpc);
  }

 private:
  Manager* manager_;
};

}  // namespace

absl::StatusOr<v1::SetDrainResponse> Manager::SetDrain(const v1::SetDrainRequest& request, absl::Time deadline) {
  MG_RETURN_IF_ERROR(topology::CheckDrainReason(request.reason()));
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  v1::SetDrainResponse response;
  response.set_changed(Snapshot().drained != request.drained());
  if (!request.drained()) {
    MG_RETURN_IF_ERROR(RemoveTree(DrainMark(config_)));
    Change([](ManagerState& state) {
      state.drained = false;
      state.drain_reason.clear();
    });
    log::Info("in service again");
    return response;
  }
  if (Snapshot().leading) {
    return absl::FailedPreconditionError("this pooler leads: another one must lead before it can be drained");
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(DrainMark(config_), request.reason() + "\n", 0600));
  if (response.changed()) {
    absl::Duration patience = request.has_patience() ? absl::Seconds(request.patience().seconds()) +
                                                           absl::Nanoseconds(request.patience().nanos())
                                                     : kPatience;
    absl::Time limit = std::min(deadline, absl::Now() + std::min(patience, kLongestPatience));
    Change([](ManagerState& state) { state.drain_pending = true; });
    Load left = serving_->current().draining ? serving_->WaitForDrain(limit, limit) : Load{};
    response.set_cut(left.statements + left.transactions);
  }
  Change([&](ManagerState& state) {
    state.drain_pending = false;
    state.drained = true;
    state.drain_reason = request.reason();
  });
  log::Info("drained: out of service", {{"reason", request.reason()}, {"cut", response.cut()}});
  return response;
}

std::unique_ptr<grpc::Service> MakeDrainService(Manager* manager) { return std::make_unique<DrainService>(manager); }

}  // namespace mg::multipooler
