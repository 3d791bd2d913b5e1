// A planned change of a shard's leader: a wish to the orchs, then the leader is asked to hand over.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/drained.h"
#include "common/topology/topology.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/label.h"
#include "multigres/orch/v1/orch.grpc.pb.h"

namespace mg::multiadmin {
namespace {

using clustermetadata::Multipooler;
namespace v1 = multigres::admin::v1;

constexpr absl::Duration kWishLimit = absl::Seconds(2);
constexpr absl::Duration kWishHolds = absl::Seconds(30);

bool Leads(const Multipooler& pooler) { return pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY; }

// Who claims to lead under the highest rule.
const Multipooler* LeaderOf(const std::vector<Multipooler>& poolers) {
  const Multipooler* leader = nullptr;
  for (const Multipooler& pooler : poolers) {
    if (Leads(pooler) &&
        (leader == nullptr || consensus::Compare(pooler.routing_state().rule(), leader->routing_state().rule()) > 0)) {
      leader = &pooler;
    }
  }
  return leader;
}

absl::Status NoPrimary() {
  return MakeError(absl::StatusCode::kFailedPrecondition, "the shard has no primary now", {.reason = "NO_PRIMARY"});
}

// A drained node leads only while no other one can.
absl::Status CheckMayLead(const Multipooler& pooler) {
  return !topology::IsDrained(pooler) ? absl::OkStatus()
                                      : MakeError(absl::StatusCode::kFailedPrecondition,
                                                  absl::StrCat("pooler '", Label(pooler.id()),
                                                               "' is drained, and would hand over again at once"),
                                                  {.reason = "POOLER_DRAINED"});
}

// Orchs of another make take no wishes; they appoint by their own judgement.
void NoteUntold(const absl::Status& told) {
  if (!told.ok()) {
    log::Warn("the orchs do not know whom to appoint", {{"error", told.message()}});
  }
}

// The next leader, as soon as its record says that it serves.
std::optional<clustermetadata::ID> AwaitLeader(TopologyCache* cache, const clustermetadata::ShardKey& shard,
                                               const clustermetadata::RuleNumber& after, absl::Time deadline) {
  std::optional<clustermetadata::ID> found;
  cache->Await(
      [&](const TopologyView& view) {
        for (const auto& [name, cell] : view.cells) {
          for (const auto& pooler : cell.poolers) {
            if (topology::ShardKeyString(pooler->shard_key()) == topology::ShardKeyString(shard) && Leads(*pooler) &&
                pooler->serving_status() == clustermetadata::SERVING &&
                consensus::Compare(pooler->routing_state().rule(), after) > 0) {
              found = pooler->id();
            }
          }
        }
        return found.has_value();
      },
      deadline);
  return found;
}

}  // namespace

absl::StatusOr<std::vector<Multipooler>> Admin::PoolersOf(const clustermetadata::ShardKey& shard, absl::Time deadline) {
  if (shard.database().empty() || shard.table_group().empty() || shard.shard().empty()) {
    return absl::InvalidArgumentError("shard_key with database, table_group and shard is required");
  }
  pb::GetPoolersRequest request;
  CellErrors errors;  // a cell that cannot be read is left out, as upstream does
  MG_ASSIGN_OR_RETURN(pb::GetPoolersResponse all, GetPoolers(request, deadline, &errors));
  std::vector<Multipooler> poolers;
  for (const Multipooler& pooler : all.poolers()) {
    if (topology::ShardKeyString(pooler.shard_key()) == topology::ShardKeyString(shard)) {
      poolers.push_back(pooler);
    }
  }
  if (poolers.empty()) {
    return MakeError(absl::StatusCode::kNotFound,
                     absl::StrCat("shard ", topology::ShardKeyString(shard), " has no poolers",
                                  errors.empty() ? "" : "; cells that could not be read: ", ErrorsText(errors)),
                     {.reason = "UNKNOWN_SHARD"});
  }
  // So that the first that could lead is one that should.
  std::stable_partition(poolers.begin(), poolers.end(),
                        [](const Multipooler& pooler) { return !topology::IsDrained(pooler); });
  return poolers;
}

absl::Status Admin::Resign(const Multipooler& leader, const std::string& reason, absl::Time deadline) {
  log::Info("the leader is asked to hand over", {{"leader", Label(leader.id())}, {"reason", reason}});
  MG_ASSIGN_OR_RETURN(auto manager, Manager(leader.id(), deadline));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  multipoolermanagerdata::ResignLeadershipResponse response;
  if (grpc::Status called = manager->ResignLeadership(&context, {}, &response); !called.ok()) {
    return absl::InternalError(
        absl::StrCat("pooler '", Label(leader.id()), "' did not hand over: ", called.error_message()));
  }
  return absl::OkStatus();
}

absl::Status Admin::Wish(const clustermetadata::ShardKey& shard, const clustermetadata::ID& target,
                         absl::Time deadline) {
  CellErrors errors;
  MG_ASSIGN_OR_RETURN(pb::GetOrchsResponse orchs, GetOrchs(pb::GetOrchsRequest(), deadline, &errors));
  multigres::orch::v1::PreferLeaderRequest request;
  *request.mutable_shard_key() = shard;
  *request.mutable_pooler_id() = target;
  request.mutable_duration()->set_seconds(absl::ToInt64Seconds(kWishHolds));
  int taken = 0;
  std::string refusals;
  for (const clustermetadata::Multiorch& orch : orchs.orchs()) {
    absl::StatusOr<std::string> address = topology::AddressOf(orch, "grpc");
    grpc::Status called(grpc::StatusCode::UNAVAILABLE, "it has no gRPC port");
    if (address.ok()) {
      auto stub = multigres::orch::v1::OrchService::NewStub(dialer_.Dial(*address));
      grpc::ClientContext context;
      rpc::SetDeadline(&context, std::min(deadline, absl::Now() + kWishLimit));
      multigres::orch::v1::PreferLeaderResponse response;
      called = stub->PreferLeader(&context, request, &response);
    }
    taken += called.ok() ? 1 : 0;
    if (!called.ok()) {
      absl::StrAppend(&refusals, refusals.empty() ? "" : "; ", Label(orch.id()), ": ", called.error_message());
    }
  }
  if (taken == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("no multiorch can be told whom to appoint", refusals.empty() ? "" : ": ", refusals));
  }
  return absl::OkStatus();
}

absl::Status Admin::Streams(const Multipooler& pooler, absl::Time deadline) {
  pb::GetPoolerStatusRequest question;
  *question.mutable_pooler_id() = pooler.id();
  MG_ASSIGN_OR_RETURN(pb::GetPoolerStatusResponse status,
                      GetPoolerStatus(question, std::min(deadline, absl::Now() + kWishLimit)));
  return status.status().replication_status().wal_receiver_status() == "streaming"
             ? absl::OkStatus()
             : absl::FailedPreconditionError("its PostgreSQL does not stream from the primary");
}

absl::StatusOr<pb::SwitchPrimaryResponse> Admin::SwitchPrimary(const pb::SwitchPrimaryRequest& request,
                                                               absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, PoolersOf(request.shard_key(), deadline));
  const Multipooler* leader = LeaderOf(poolers);
  if (leader == nullptr) {
    return absl::NotFoundError("no primary pooler found");
  }
  if (poolers.size() < 2) {
    return absl::FailedPreconditionError("no standby poolers available for promotion");
  }
  // Without a wish whoever handed over could be appointed again.
  for (const Multipooler& pooler : poolers) {
    if (!consensus::SameNode(pooler.id(), leader->id()) && Streams(pooler, deadline).ok()) {
      NoteUntold(Wish(request.shard_key(), pooler.id(), deadline));
      break;
    }
  }
  MG_RETURN_IF_ERROR(Resign(*leader, request.reason(), deadline));
  pb::SwitchPrimaryResponse response;
  *response.mutable_old_leader_id() = leader->id();
  return response;
}

absl::StatusOr<std::shared_ptr<void>> Admin::BeginSwitch(const clustermetadata::ShardKey& shard) {
  const std::string key = topology::ShardKeyString(shard);
  std::lock_guard lock(mutex_);
  if (!switching_.insert(key).second) {
    return MakeError(absl::StatusCode::kAborted, absl::StrCat("the primary of ", key, " is being switched already"),
                     {.reason = "SWITCH_RUNNING"});
  }
  return std::shared_ptr<void>(nullptr, [this, key](void*) {
    std::lock_guard erasing(mutex_);
    switching_.erase(key);
  });
}

absl::StatusOr<v1::SwitchPrimaryResponse> Admin::SwitchPrimaryTo(const v1::SwitchPrimaryRequest& request,
                                                                 absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<void> alone, BeginSwitch(request.shard_key()));
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, PoolersOf(request.shard_key(), deadline));
  const Multipooler* leader = LeaderOf(poolers);
  if (leader == nullptr) {
    return NoPrimary();
  }
  v1::SwitchPrimaryResponse response;
  *response.mutable_old_leader_id() = leader->id();
  // Who is wished, else the first that could take over: whoever handed over is not to be appointed again.
  const Multipooler* target = nullptr;
  for (const Multipooler& pooler : poolers) {
    const bool leads = consensus::SameNode(pooler.id(), leader->id());
    if (request.has_target()) {
      if (!consensus::SameNode(pooler.id(), request.target())) {
        continue;
      }
      target = &pooler;
      if (!leads) {
        MG_RETURN_IF_ERROR(CheckMayLead(pooler));
      }
      if (absl::Status streams = leads ? absl::OkStatus() : Streams(pooler, deadline); !streams.ok()) {
        return absl::FailedPreconditionError(
            absl::StrCat("pooler '", Label(pooler.id()), "' cannot lead now: ", streams.message()));
      }
    } else if (!leads && Streams(pooler, deadline).ok()) {
      target = &pooler;
      break;
    }
  }
  if (request.has_target() && target == nullptr) {
    return absl::NotFoundError(absl::StrCat("pooler '", Label(request.target()), "' is not one of the shard"));
  }
  if (target != nullptr && consensus::SameNode(target->id(), leader->id())) {
    *response.mutable_new_leader_id() = leader->id();
    return response;
  }
  if (target == nullptr) {
    return absl::FailedPreconditionError("no standby streams from the primary: nobody could take over");
  }
  MG_RETURN_IF_ERROR(CheckMayLead(*target));
  absl::Status told = Wish(request.shard_key(), target->id(), deadline);
  if (request.has_target()) {
    MG_RETURN_IF_ERROR(told);
  }
  NoteUntold(told);
  absl::Time begun = absl::Now();
  MG_RETURN_IF_ERROR(Resign(*leader, request.reason(), deadline));
  std::optional<clustermetadata::ID> next =
      AwaitLeader(cache_, request.shard_key(), leader->routing_state().rule(), deadline);
  if (!next.has_value()) {
    return absl::DeadlineExceededError("the primary has handed over, and no other one serves yet");
  }
  absl::Duration took = absl::Now() - begun;
  const bool other = !consensus::SameNode(*next, target->id());
  if (other && (request.has_target() || consensus::SameNode(*next, leader->id()))) {
    return absl::AbortedError(absl::StrCat("pooler '", Label(*next), "' leads instead of '", Label(target->id()),
                                           "': it was further, or that one was not reached"));
  }
  *response.mutable_new_leader_id() = *next;
  rpc::SetDuration(took, response.mutable_duration());
  return response;
}

}  // namespace mg::multiadmin
