// Taking a node out of service for maintenance: only where the shard can do without it.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/drained.h"
#include "common/topology/topology.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/label.h"
#include "multigres/pooler/v1/drain.grpc.pb.h"

namespace mg::multiadmin {
namespace {

using clustermetadata::Multipooler;
namespace v1 = multigres::admin::v1;
namespace pooler_v1 = multigres::pooler::v1;

constexpr absl::Duration kAskLimit = absl::Seconds(2);
// For statements that run there, as the pooler's own; of a primary, from the moment that it is asked to hand over.
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kLeastPatience = absl::Milliseconds(500);

absl::StatusOr<pooler_v1::SetDrainResponse> SetDrain(const rpc::Dialer& dialer, const Multipooler& pooler,
                                                     const pooler_v1::SetDrainRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(pooler, "grpc"));
  auto stub = pooler_v1::PoolerDrainService::NewStub(dialer.Dial(address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  pooler_v1::SetDrainResponse response;
  MG_RETURN_IF_ERROR(WithContext(rpc::FromGrpc(stub->SetDrain(&context, request, &response)),
                                 absl::StrCat("pooler '", Label(pooler.id()), "'")));
  return response;
}

// Leads, or streams from who does.
bool Whole(const multipoolermanagerdata::Status& status) {
  return status.postgres_ready() &&
         (status.primary_status().ready() || status.replication_status().wal_receiver_status() == "streaming");
}

}  // namespace

// Whether the others could go on, and replace a leader, if this node were switched off. Those that are drained already
// may be switched off too.
absl::Status Admin::CheckDrain(const Multipooler& pooler, const std::vector<Multipooler>& poolers,
                               absl::Time deadline) {
  std::vector<absl::StatusOr<pb::GetPoolerStatusResponse>> answers(poolers.size(), absl::UnknownError("not asked"));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < poolers.size(); ++i) {
    threads.emplace_back([&, i] {
      pb::GetPoolerStatusRequest question;
      *question.mutable_pooler_id() = poolers[i].id();
      answers[i] = GetPoolerStatus(question, std::min(deadline, absl::Now() + kAskLimit));
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const clustermetadata::ShardRule* rule = nullptr;
  consensus::Cohort others;
  std::vector<std::string> wanting;
  for (std::size_t i = 0; i < poolers.size(); ++i) {
    if (!answers[i].ok()) {
      wanting.push_back(absl::StrCat(poolers[i].id().cell(), " does not answer"));
      continue;
    }
    const clustermetadata::ShardRule& own = answers[i]->consensus_status().current_position().position().decision();
    if (rule == nullptr || consensus::Compare(own.rule_number(), rule->rule_number()) > 0) {
      rule = &own;
    }
    if (consensus::SameNode(poolers[i].id(), pooler.id())) {
      continue;
    }
    if (answers[i]->status().pooler_type() == clustermetadata::DRAINED) {
      wanting.push_back(absl::StrCat(poolers[i].id().cell(), " is drained already"));
    } else if (!Whole(answers[i]->status())) {
      wanting.push_back(absl::StrCat(poolers[i].id().cell(), " neither leads nor streams"));
    } else {
      others.push_back(poolers[i].id());
    }
  }
  if (rule == nullptr || rule->rule_number().coordinator_term() == 0) {
    return absl::FailedPreconditionError("the shard has no leader yet");
  }
  std::erase_if(others,
                [&](const clustermetadata::ID& id) { return !consensus::Contains(consensus::CohortOf(*rule), id); });
  absl::Status quorum = consensus::CheckRecruitmentQuorum(*rule, others);
  if (quorum.ok() && consensus::Satisfies(rule->durability_policy(), others)) {
    return absl::OkStatus();
  }
  std::string why = absl::StrCat("the shard cannot do without pooler '", Label(pooler.id()), "': of the ",
                                 rule->cohort_members_size(), " members of its cohort ", others.size(),
                                 others.size() == 1 ? " other is" : " others are", " well, too few for ",
                                 rule->durability_policy().policy_name());
  return absl::FailedPreconditionError(wanting.empty() ? why
                                                       : absl::StrCat(why, " (", absl::StrJoin(wanting, ", "), ")"));
}

absl::StatusOr<v1::DrainPoolerResponse> Admin::DrainPooler(const v1::DrainPoolerRequest& request, absl::Time deadline) {
  MG_RETURN_IF_ERROR(topology::CheckDrainReason(request.reason()));
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const Multipooler> pooler, FindPooler(request.pooler_id(), deadline));
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, PoolersOf(pooler->shard_key(), deadline));
  MG_RETURN_IF_ERROR(CheckDrain(*pooler, poolers, deadline));
  v1::DrainPoolerResponse response;
  absl::Time begun = absl::Now();
  if (pooler->routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY) {
    v1::SwitchPrimaryRequest first;
    *first.mutable_shard_key() = pooler->shard_key();
    first.set_reason(absl::StrCat("drain of ", Label(pooler->id())));
    MG_ASSIGN_OR_RETURN(v1::SwitchPrimaryResponse switched, SwitchPrimaryTo(first, deadline));
    if (consensus::SameNode(switched.new_leader_id(), pooler->id())) {
      return absl::FailedPreconditionError("it leads, and no other node took over");
    }
    *response.mutable_new_leader_id() = switched.new_leader_id();
  }
  pooler_v1::SetDrainRequest drain;
  drain.set_drained(true);
  drain.set_reason(request.reason());
  std::int64_t patience = absl::ToInt64Milliseconds(std::max(kLeastPatience, kPatience - (absl::Now() - begun)));
  drain.mutable_patience()->set_seconds(patience / 1000);
  drain.mutable_patience()->set_nanos(static_cast<int>(patience % 1000) * 1000000);
  MG_ASSIGN_OR_RETURN(pooler_v1::SetDrainResponse drained, SetDrain(dialer_, *pooler, drain, deadline));
  log::Info("pooler drained", {{"pooler", Label(pooler->id())}, {"reason", request.reason()}});
  response.set_changed(drained.changed());
  response.set_cut(drained.cut());
  return response;
}

absl::StatusOr<v1::UndrainPoolerResponse> Admin::UndrainPooler(const v1::UndrainPoolerRequest& request,
                                                               absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const Multipooler> pooler, FindPooler(request.pooler_id(), deadline));
  MG_ASSIGN_OR_RETURN(pooler_v1::SetDrainResponse back,
                      SetDrain(dialer_, *pooler, pooler_v1::SetDrainRequest(), deadline));
  v1::UndrainPoolerResponse response;
  response.set_changed(back.changed());
  return response;
}

}  // namespace mg::multiadmin
