#include "components/multiorch/orch_service.h"

#include <grpcpp/grpcpp.h>

#include <set>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multiorch/problems.h"
#include "components/multiorch/shard_engine.h"
#include "multigres/orch/v1/orch.grpc.pb.h"
#include "multiorchservice.grpc.pb.h"

namespace mg::multiorch {
namespace {

constexpr char kNotWatched[] = "this orch does not watch that shard";
constexpr absl::Duration kTriggerLimit = absl::Seconds(30);
constexpr absl::Duration kTriggerMargin = absl::Milliseconds(200);

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  return std::min(absl::FromChrono(context.deadline()), absl::Now() + kTriggerLimit);
}

grpc::Status Change(const std::vector<ShardEngine*>& engines, const clustermetadata::ShardKey& shard, RuleWish wish,
                    const clustermetadata::RuleNumber& expected, const std::string& reason,
                    grpc::ServerContext* context, clustermetadata::ShardRule* installed) {
  for (ShardEngine* engine : engines) {
    if (topology::ShardKeyString(engine->shard()) != topology::ShardKeyString(shard)) {
      continue;
    }
    absl::StatusOr<clustermetadata::ShardRule> rule = engine->ChangeRule(
        std::move(wish), expected, reason, DeadlineOf(*context), [context] { return context->IsCancelled(); });
    if (rule.ok() && installed != nullptr) {
      *installed = *rule;
    }
    return rpc::ToGrpc(rule.status());
  }
  return {grpc::StatusCode::NOT_FOUND, kNotWatched};
}

// Every field must be there: the caller knows what it certifies.
absl::StatusOr<RuleWish> CertifiedWish(const ::multiorch::ApplyCertifiedRuleChangeRequest& request) {
  const clustermetadata::ShardRule& rule = request.proposed_transition().proposal();
  const clustermetadata::TermRevocation& revocation = request.cert().term_revocation();
  if (!request.has_shard_key() || !rule.has_leader_id() || rule.cohort_members().empty() ||
      !rule.has_durability_policy()) {
    return absl::InvalidArgumentError(
        "shard_key and a proposal with leader, cohort and durability policy are required");
  }
  if (!revocation.has_outgoing_rule() || request.cert().frozen_lsn().empty() ||
      revocation.accepted_coordinator_id().name().empty() || !revocation.has_coordinator_initiated_at()) {
    return absl::InvalidArgumentError(
        "the certificate needs outgoing rule, frozen LSN, coordinator and the time of its beginning");
  }
  if (rule.rule_number().coordinator_term() != revocation.revoked_below_term()) {
    return absl::InvalidArgumentError("the proposal's term is not the certificate's");
  }
  MG_RETURN_IF_ERROR(consensus::ParseLsn(request.cert().frozen_lsn()).status());
  RuleWish wish;
  wish.leader = rule.leader_id();
  wish.cohort.assign(rule.cohort_members().begin(), rule.cohort_members().end());
  wish.policy = rule.durability_policy();
  wish.certificate = request.cert();
  return wish;
}

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
    return {grpc::StatusCode::NOT_FOUND, kNotWatched};
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

  grpc::Status ApplyCertifiedRuleChange(grpc::ServerContext* context,
                                        const ::multiorch::ApplyCertifiedRuleChangeRequest* request,
                                        ::multiorch::ApplyCertifiedRuleChangeResponse*) override {
    absl::StatusOr<RuleWish> wish = CertifiedWish(*request);
    if (!wish.ok()) {
      return rpc::ToGrpc(wish.status());
    }
    return Change(engines_, request->shard_key(), *std::move(wish), {}, request->reason(), context, nullptr);
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
    ShardEngine* engine = Find(request->shard_key());
    if (engine == nullptr) {
      return {grpc::StatusCode::NOT_FOUND, kNotWatched};
    }
    engine->Prefer(request->pooler_id(), absl::Now() + absl::Seconds(request->duration().seconds()) +
                                             absl::Nanoseconds(request->duration().nanos()));
    return grpc::Status::OK;
  }

  grpc::Status ChangeRule(grpc::ServerContext* context, const multigres::orch::v1::ChangeRuleRequest* request,
                          multigres::orch::v1::ChangeRuleResponse* response) override {
    RuleWish wish;
    wish.leader = request->leader_id();
    wish.cohort.assign(request->cohort_members().begin(), request->cohort_members().end());
    wish.policy = request->durability_policy();
    return Change(engines_, request->shard_key(), std::move(wish), request->expected_rule(), request->reason(), context,
                  response->mutable_rule());
  }

  grpc::Status GetAppointment(grpc::ServerContext*, const multigres::orch::v1::GetAppointmentRequest* request,
                              multigres::orch::v1::GetAppointmentResponse* response) override {
    ShardEngine* engine = Find(request->shard_key());
    if (engine == nullptr) {
      return {grpc::StatusCode::NOT_FOUND, kNotWatched};
    }
    response->set_under_way(engine->AtWork(request->term()));
    return grpc::Status::OK;
  }

  grpc::Status GetSight(grpc::ServerContext*, const multigres::orch::v1::GetSightRequest* request,
                        multigres::orch::v1::GetSightResponse* response) override {
    ShardEngine* engine = Find(request->shard_key());
    if (engine == nullptr) {
      return {grpc::StatusCode::NOT_FOUND, kNotWatched};
    }
    response->set_heard(engine->Hears(request->pooler_id()));
    return grpc::Status::OK;
  }

 private:
  ShardEngine* Find(const clustermetadata::ShardKey& shard) const {
    for (ShardEngine* engine : engines_) {
      if (topology::ShardKeyString(engine->shard()) == topology::ShardKeyString(shard)) {
        return engine;
      }
    }
    return nullptr;
  }

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
