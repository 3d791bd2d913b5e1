// Data that is of no use any more gives way to a copy of the leader's. It is kept aside until the copy streams; what
// was promised stays.
#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/consensus/revocation.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/leader_check.h"
#include "components/multipooler/manager/manager.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kAskLimit = absl::Seconds(2);
constexpr absl::Duration kStopLimit = absl::Seconds(15);
constexpr absl::Duration kCopyLimit = absl::Hours(12);

absl::StatusOr<multipoolermanagerdata::StatusResponse> Ask(const rpc::Dialer& dialer,
                                                           const clustermetadata::Multipooler& peer) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(peer, "grpc"));
  auto stub = multipoolermanager::MultipoolerManager::NewStub(dialer.Dial(address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, absl::Now() + kAskLimit);
  multipoolermanagerdata::StatusResponse response;
  MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->Status(&context, multipoolermanagerdata::StatusRequest(), &response)));
  return response;
}

}  // namespace

// By the topology, or by what the last SetPrimary said. Nobody whose rule was revoked here.
std::optional<clustermetadata::ReplicationPrimary> Manager::LeaderElsewhere(const ManagerState& state) const {
  std::optional<clustermetadata::ReplicationPrimary> leader;
  if (HasLeaderToFollow(state)) {
    leader = state.replication_primary;
  }
  for (const clustermetadata::Multipooler& pooler : state.poolers) {
    const clustermetadata::RuleNumber& rule = pooler.routing_state().rule();
    auto port = pooler.port_map().find("postgres");
    if (consensus::SameNode(pooler.id(), config_.id) || port == pooler.port_map().end() ||
        pooler.routing_state().role() != clustermetadata::ROUTING_ROLE_PRIMARY ||
        consensus::IsRevoked(rule, promises_->Get()) ||
        (leader.has_value() && consensus::Compare(rule, consensus::HighestNumber(leader->position())) <= 0)) {
      continue;
    }
    leader.emplace();
    *leader->mutable_primary()->mutable_id() = pooler.id();
    leader->mutable_primary()->set_host(pooler.hostname());
    leader->mutable_primary()->set_postgres_port(port->second);
    clustermetadata::ShardRule* decision = leader->mutable_position()->mutable_decision();
    *decision->mutable_rule_number() = rule;
    *decision->mutable_leader_id() = pooler.id();
  }
  return leader;
}

// Asks everybody, now. This node takes no part in anything until it has the copy, so what they say holds for all that
// it can have had a hand in; and what it has promised it still knows.
absl::Status Manager::CheckLeads(const ManagerState& state, const clustermetadata::ID& leader) const {
  std::optional<clustermetadata::ShardRule> rule;
  std::vector<NodeAnswer> answers = {
      {.id = config_.id, .promised_term = promises_->Get().term_revocation().revoked_below_term()}};
  for (const clustermetadata::Multipooler& pooler : state.poolers) {
    if (consensus::SameNode(pooler.id(), config_.id)) {
      continue;
    }
    absl::StatusOr<multipoolermanagerdata::StatusResponse> answer = Ask(config_.peers, pooler);
    if (!answer.ok()) {
      continue;
    }
    const clustermetadata::ConsensusStatus& said = answer->consensus_status();
    const clustermetadata::RulePosition& position = said.current_position().position();
    answers.push_back({.id = pooler.id(),
                       .highest = consensus::HighestNumber(position),
                       .promised_term = said.term_revocation().revoked_below_term()});
    if (!consensus::SameNode(pooler.id(), leader)) {
      continue;
    }
    if (answer->status().primary_status().ready() && !position.has_proposal() &&
        consensus::SameNode(position.decision().leader_id(), leader)) {
      rule = position.decision();
    } else if (answer->status().postgres_status() == multipoolermanagerdata::POSTGRES_STATUS_PRIMARY &&
               position.has_proposal() && consensus::SameNode(position.proposal().leader_id(), leader)) {
      // Its rule may be waiting for just this node. It has been chosen as the most advanced of a quorum, so it has
      // whatever this node's data may have counted for.
      rule = position.proposal();
    }
  }
  if (!rule.has_value()) {
    return absl::UnavailableError(absl::StrCat(topology::IdString(leader), " does not say that it leads"));
  }
  return CheckInForce(*rule, answers);
}

// Until it is past where it was, this node knows less than it once said.
absl::Status Manager::BlockRecruitsBelow(const PostgresView& view) {
  clustermetadata::ConsensusPromises promises = promises_->Get();
  clustermetadata::LsnPosition* floor = promises.mutable_recruit_blocked_until();
  *floor->mutable_position()->mutable_decision() = view.rule.decision().rule_number();
  if (view.rule.has_proposal()) {
    *floor->mutable_position()->mutable_proposal() = view.rule.proposal().rule_number();
  }
  floor->set_lsn(view.lsn);
  return promises_->Put(promises);
}

absl::Status Manager::ReplaceData() {
  ManagerState state = Snapshot();
  std::optional<clustermetadata::ReplicationPrimary> leader = LeaderElsewhere(state);
  std::string why = data_watch_.WhyUnusable(QuorumWatch::Now());
  if (!leader.has_value() || why.empty()) {
    return absl::OkStatus();
  }
  const clustermetadata::PoolerAddress& source = leader->primary();
  absl::Status leads = CheckLeads(state, source.id());
  if (!leads.ok()) {
    data_watch_ = DataWatch();  // it is tried as it is before anybody is asked again
    return WithContext(leads, absl::StrCat("the data is of no use (", why, ") and cannot be replaced now"));
  }
  log::Warn("the data is of no use: it gives way to a new base backup",
            {{"why", why}, {"source", topology::IdString(source.id())}});
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_RESTORING_FROM_BACKUP);
  absl::Status status = ReplaceFrom(source, state);
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
  if (!status.ok()) {
    return status;
  }
  data_watch_.Replaced(QuorumWatch::Now());
  return StartStandby();
}

// A server that runs does so until the copy is there, and may be recruited meanwhile: the copy is given up then.
absl::Status Manager::ReplaceFrom(const clustermetadata::PoolerAddress& source, const ManagerState& state) {
  copy_cancelled_ = false;
  if (stop_ || (state.connected && recruits_waiting_ > 0)) {
    return absl::CancelledError("something else comes first");
  }
  MG_RETURN_IF_ERROR(
      CopyData(config_, source.host(), source.postgres_port(), absl::Now() + kCopyLimit, copy_cancelled_));
  if (state.view.has_value() && state.view->has_rule) {
    MG_RETURN_IF_ERROR(BlockRecruitsBelow(*state.view));
  }
  watched_ = nullptr;
  DropControl();
  Connected(false, PgState::kStopped);
  MG_RETURN_IF_ERROR(pgctld_.Stop("immediate", kStopLimit));
  MG_RETURN_IF_ERROR(PutCopyInPlace(config_));
  Change([](ManagerState& changing) {
    changing.postgres = PgState::kStopped;
    changing.suspected_divergence = false;
    changing.missing_segment.clear();
  });
  log::Info("copied: the old data is kept aside until the new one streams",
            {{"source", topology::IdString(source.id())}, {"aside", AsideDirectory(config_)}});
  return absl::OkStatus();
}

}  // namespace mg::multipooler
