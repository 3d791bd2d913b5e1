#include "components/multiorch/orch_service.h"

#include <grpcpp/grpcpp.h>

#include <set>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/topology/topology.h"
#include "components/multiorch/problems.h"
#include "components/multiorch/shard_engine.h"
#include "multigres/orch/v1/orch.grpc.pb.h"
#include "multiorchservice.grpc.pb.h"

namespace mg::multiorch {
namespace {

constexpr absl::Duration kTriggerLimit = absl::Seconds(30);
constexpr absl::Duration kTriggerMargin = absl::Milliseconds(200);

class OrchService final : public ::multiorch::MultiorchService::Service {
 public:
  explicit OrchService(std::vector<ShardEngine*> engines) : engines_(std::move(engines)) {}

  grpc::Status GetShardStatus(grpc::ServerContext*, const ::multiorch::ShardStatusRequest* request,
                              ::multiorch::ShardStatusResponse* response) override {
    if (!request->has_shard_key()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "shard_key is required"};
    }
    for (ShardEngine* engine : engines_) {
      if (topology::ShardKeyString(engine->shard()) != topology::ShardKeyString(request->shard_key())) {
        continue;
      }
      ShardView view = engine->View();
      for (::multiorch::DetectedProblem& problem : Analyse(view, absl::Now())) {
        *response->add_problems() = std::move(problem);
      }
      for (const auto& [text, pooler] : view.poolers) {
        ::multiorch::PoolerHealth* health = response->add_pooler_healths();
        *health->mutable_pooler_id() = pooler.id();
        health->set_stream_connected(pooler.connected);
        health->set_postgres_ready(pooler.status.status().postgres_ready());
        health->set_pooler_type(clustermetadata::PoolerType_Name(pooler.status.status().pooler_type()));
        if (pooler.last_seen != absl::InfinitePast()) {
          health->mutable_last_seen()->set_seconds(absl::ToUnixSeconds(pooler.last_seen));
        }
      }
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "this orch does not watch that shard"};
  }

  grpc::Status DisableRecovery(grpc::ServerContext*, const ::multiorch::DisableRecoveryRequest*,
                               ::multiorch::DisableRecoveryResponse* response) override {
    for (ShardEngine* engine : engines_) {
      engine->Disable();
    }
    response->set_success(true);
    response->set_message("Recovery disabled");
    return grpc::Status::OK;
  }

  grpc::Status EnableRecovery(grpc::ServerContext*, const ::multiorch::EnableRecoveryRequest*,
                              ::multiorch::EnableRecoveryResponse* response) override {
    for (ShardEngine* engine : engines_) {
      engine->Enable();
    }
    response->set_success(true);
    response->set_message("Recovery enabled");
    return grpc::Status::OK;
  }

  grpc::Status GetRecoveryStatus(grpc::ServerContext*, const ::multiorch::GetRecoveryStatusRequest*,
                                 ::multiorch::GetRecoveryStatusResponse* response) override {
    bool enabled = true;
    for (ShardEngine* engine : engines_) {
      enabled &= engine->enabled();
    }
    response->set_enabled(enabled);
    return grpc::Status::OK;
  }

  grpc::Status TriggerRecoveryNow(grpc::ServerContext* context, const ::multiorch::TriggerRecoveryNowRequest* request,
                                  ::multiorch::TriggerRecoveryNowResponse* response) override {
    if (request->max_cycles() > 1) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "max_cycles must be 0 or 1"};
    }
    absl::Time deadline = std::min(absl::FromChrono(context->deadline()) - kTriggerMargin, absl::Now() + kTriggerLimit);
    std::set<std::string> codes;
    bool in_time = true;
    do {
      codes.clear();
      for (ShardEngine* engine : engines_) {
        in_time = in_time && engine->RunOnce(deadline);
        for (const ::multiorch::DetectedProblem& problem : Analyse(engine->View(), absl::Now())) {
          codes.insert(problem.code());
        }
      }
    } while (request->max_cycles() == 0 && !codes.empty() && in_time && absl::Now() < deadline &&
             !context->IsCancelled() && WaitForChange(deadline));
    for (const std::string& code : codes) {
      response->add_remaining_problem_codes(code);
    }
    return grpc::Status::OK;
  }

  grpc::Status ApplyCertifiedRuleChange(grpc::ServerContext*, const ::multiorch::ApplyCertifiedRuleChangeRequest*,
                                        ::multiorch::ApplyCertifiedRuleChangeResponse*) override {
    return {grpc::StatusCode::UNIMPLEMENTED, "the built-in multiorch does not apply certified rule changes yet"};
  }

 private:
  // Problems that need a pooler's next snapshot to go away; the engine wakes at each.
  bool WaitForChange(absl::Time deadline) {
    for (ShardEngine* engine : engines_) {
      engine->WaitForEvent(std::min(deadline, absl::Now() + absl::Milliseconds(200)));
    }
    return true;
  }

  std::vector<ShardEngine*> engines_;
};

class WishService final : public multigres::orch::v1::OrchService::Service {
 public:
  explicit WishService(std::vector<ShardEngine*> engines) : engines_(std::move(engines)) {}

  grpc::Status PreferLeader(grpc::ServerContext*, const multigres::orch::v1::PreferLeaderRequest* request,
                            multigres::orch::v1::PreferLeaderResponse*) override {
    for (ShardEngine* engine : engines_) {
      if (topology::ShardKeyString(engine->shard()) == topology::ShardKeyString(request->shard_key())) {
        engine->Prefer(request->pooler_id(), absl::Now() + absl::Seconds(request->duration().seconds()) +
                                                 absl::Nanoseconds(request->duration().nanos()));
        return grpc::Status::OK;
      }
    }
    return {grpc::StatusCode::NOT_FOUND, "this orch does not watch that shard"};
  }

 private:
  std::vector<ShardEngine*> engines_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeWishService(std::vector<ShardEngine*> engines) {
  return std::make_unique<WishService>(std::move(engines));
}

std::unique_ptr<grpc::Service> MakeOrchService(std::vector<ShardEngine*> engines) {
  return std::make_unique<OrchService>(std::move(engines));
}

}  // namespace mg::multiorch
