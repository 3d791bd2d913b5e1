#include "components/multiorch/peer_orchs.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <memory>

#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/rpc/rpc.h"
#include "common/topology/topology.h"
#include "multigres/orch/v1/orch.grpc.pb.h"

namespace mg::multiorch {
namespace {

namespace v1 = multigres::orch::v1;

}  // namespace

void PeerOrchs::Update(const std::vector<clustermetadata::Multiorch>& records) {
  std::map<std::string, std::string> addresses;
  for (const clustermetadata::Multiorch& record : records) {
    absl::StatusOr<std::string> address = topology::AddressOf(record, "grpc");
    if (address.ok() && !consensus::SameNode(record.id(), self_)) {
      addresses[topology::ClusterIdString(record.id())] = *address;
    }
  }
  std::lock_guard lock(mutex_);
  addresses_ = std::move(addresses);
}

bool PeerOrchs::AtWork(const clustermetadata::ID& coordinator, const clustermetadata::ShardKey& shard,
                       std::int64_t term, absl::Duration limit) const {
  std::string address;
  {
    std::lock_guard lock(mutex_);
    auto found = addresses_.find(topology::ClusterIdString(coordinator));
    if (found == addresses_.end()) {
      return false;
    }
    address = found->second;
  }
  auto stub = v1::OrchService::NewStub(dialer_.Dial(address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, absl::Now() + limit);
  v1::GetAppointmentRequest request;
  *request.mutable_shard_key() = shard;
  request.set_term(term);
  v1::GetAppointmentResponse response;
  return stub->GetAppointment(&context, request, &response).ok() && response.under_way();
}

PeerOrchs::Sight PeerOrchs::Ask(const clustermetadata::ShardKey& shard, const clustermetadata::ID& pooler,
                                absl::Duration limit) const {
  struct Call {
    std::unique_ptr<v1::OrchService::Stub> stub;
    grpc::ClientContext context;
    v1::GetSightResponse response;
  };
  // Late answers find it still there.
  struct Asking {
    std::mutex mutex;
    std::condition_variable answered;
    v1::GetSightRequest request;
    std::vector<std::unique_ptr<Call>> calls;
    std::size_t ended = 0;
    Sight sight;
  };
  auto asking = std::make_shared<Asking>();
  *asking->request.mutable_shard_key() = shard;
  *asking->request.mutable_pooler_id() = pooler;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, address] : addresses_) {
      auto call = std::make_unique<Call>();
      call->stub = v1::OrchService::NewStub(dialer_.Dial(address));
      rpc::SetDeadline(&call->context, absl::Now() + limit);
      asking->calls.push_back(std::move(call));
    }
  }
  for (const auto& call : asking->calls) {
    call->stub->async()->GetSight(&call->context, &asking->request, &call->response,
                                  [asking, call = call.get()](const grpc::Status& status) {
                                    std::lock_guard lock(asking->mutex);
                                    ++asking->ended;
                                    asking->sight.answered += status.ok() ? 1 : 0;
                                    asking->sight.heard |= status.ok() && call->response.heard();
                                    asking->answered.notify_all();
                                  });
  }
  std::unique_lock lock(asking->mutex);
  while (asking->ended < asking->calls.size() && !asking->sight.heard) {
    asking->answered.wait(lock);  // each call has its limit
  }
  return asking->sight;
}

}  // namespace mg::multiorch
