#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/consensus/revocation.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/divergence.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"
#include "components/multipooler/manager/restore_order.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kInitLimit = absl::Minutes(2);
constexpr absl::Duration kStartLimit = absl::Minutes(2);
// For a crashed leader to recover as one.
constexpr absl::Duration kInPlaceLimit = absl::Seconds(30);
// A PostgreSQL that takes longer to start may wait for a leader that has gone.
constexpr absl::Duration kStartLook = absl::Seconds(2);
constexpr absl::Duration kCloneLimit = absl::Hours(12);
constexpr absl::Duration kTopologyLimit = absl::Seconds(5);
constexpr absl::Duration kSchemaLimit = absl::Seconds(10);
constexpr absl::Duration kPeerLimit = absl::Seconds(2);

absl::Status AskPeer(const rpc::Dialer& dialer, const clustermetadata::Multipooler& peer) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(peer, "grpc"));
  auto stub = multipoolermanager::MultipoolerManager::NewStub(dialer.Dial(address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, absl::Now() + kPeerLimit);
  multipoolermanagerdata::StatusResponse response;
  MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->Status(&context, multipoolermanagerdata::StatusRequest(), &response)));
  if (response.status().is_initialized() || response.status().has_data_directory() ||
      response.consensus_status().term_revocation().revoked_below_term() > 0) {
    return absl::FailedPreconditionError("it has data");
  }
  return absl::OkStatus();
}

}  // namespace

void Manager::SetAction(multipoolermanagerdata::PostgresAction action) {
  Change([&](ManagerState& state) {
    state.action = action;
    state.action_since = absl::Now();
    if (action != multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED) {
      state.lifecycle_reason.clear();
    }
  });
}

// The claim may be older than the shard's data: it never ends. So every member that it names must say that it has none.
absl::Status Manager::CheckNobodyHasData(const ManagerState& state) const {
  for (const clustermetadata::ID& member : state.claim.cohort_members()) {
    if (consensus::SameNode(member, config_.id)) {
      continue;
    }
    absl::Status status = absl::NotFoundError("it has no record in the topology");
    for (const clustermetadata::Multipooler& pooler : state.poolers) {
      if (consensus::SameNode(pooler.id(), member)) {
        status = AskPeer(config_.peers, pooler);
      }
    }
    if (!status.ok()) {
      return WithContext(status, absl::StrCat("cannot found the shard, because of ", topology::IdString(member)));
    }
  }
  return absl::OkStatus();
}

// The data of a new shard: empty, or from a backup. In the end PostgreSQL takes writes.
absl::Status Manager::BeginData(const std::optional<multigres::pooler::v1::ResetForRestoreRequest>& order) {
  if (!order.has_value()) {
    MG_RETURN_IF_ERROR(pgctld_.InitDataDir(kInitLimit));
    MG_RETURN_IF_ERROR(PrepareArchive());
    log::Info("data directory initialised");
    return pgctld_.Start(true, false, kStartLimit);
  }
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_RESTORING_FROM_BACKUP);
  MG_RETURN_IF_ERROR(RestoreData(*order));
  MG_RETURN_IF_ERROR(pgctld_.Start(true, false, kStartLimit));
  absl::Time deadline = absl::Now() + kCloneLimit;
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_RETURN_IF_ERROR(WaitForEndOfRecovery(*connection, stop_, deadline));
  return ForgetFormerRules(*connection, absl::Now() + kSchemaLimit);
}

absl::Status Manager::Bootstrap() {
  ManagerState state = Snapshot();
  MG_ASSIGN_OR_RETURN(auto order, ReadRestoreOrder(config_));
  if (order.has_value() && order->standby()) {
    order.reset();  // it was meant for a shard that has gone
  }
  if (order.has_value() && MustPutBack(*order)) {
    return FinishPutBack();
  }
  MG_RETURN_IF_ERROR(CheckNobodyHasData(state));
  MG_ASSIGN_OR_RETURN(auto database, topology_->GetDatabase(config_.shard.database(), absl::Now() + kTopologyLimit));
  const clustermetadata::DurabilityPolicy& policy = database.record.bootstrap_durability_policy();
  MG_RETURN_IF_ERROR(WithContext(consensus::ValidatePolicy(policy), "the database's bootstrap durability policy"));
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_CREATING_FIRST_BACKUP);
  bool founded = false;
  absl::Status status = [&]() -> absl::Status {
    if (state.postgres == PgState::kRunning) {
      watched_ = nullptr;
      MG_RETURN_IF_ERROR(pgctld_.Stop("immediate", kStartLimit));
    }
    MG_RETURN_IF_ERROR(WriteFileAtomically(BootstrapSentinel(config_), "", 0600));
    if (order.has_value()) {
      MG_RETURN_IF_ERROR(promises_->Put(clustermetadata::ConsensusPromises()));  // of an earlier try
    }
    MG_RETURN_IF_ERROR(RemoveTree(config_.data_directory));
    MG_RETURN_IF_ERROR(BeginData(order));
    log::Info("PostgreSQL started as the shard's seed");
    absl::Time deadline = absl::Now() + kSchemaLimit;
    MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
    MG_RETURN_IF_ERROR(CreateRuleSchema(*connection, policy, topology::ClusterIdString(config_.id), deadline));
    MG_RETURN_IF_ERROR(BeginAbove(order.has_value() ? order->terms_used() : 0));
    MG_RETURN_IF_ERROR(WriteReplicationPassfile(config_));
    MG_RETURN_IF_ERROR(RemoveTree(BootstrapSentinel(config_)));
    founded = true;
    MG_RETURN_IF_ERROR(order.has_value() ? EndRestore(*order) : RemoveRestoreOrder(config_));
    log::Info("shard founded", {{"rule", "{0,1}"}, {"policy", policy.policy_name()}});
    return LookNow(*connection, deadline).status();
  }();
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
  // Without a pgctld nothing can be said of the data; with the next one it is tried again.
  if (!status.ok() && !founded && order.has_value() && order->set_aside() && !stop_ &&
      pgctld_.Status(absl::Seconds(1)).state != PgState::kUnreachable) {
    return PutBack(*order, status);
  }
  return status;
}

absl::Status Manager::Clone() {
  std::optional<clustermetadata::Multipooler> source = CloneSource(config_, Snapshot());
  if (!source.has_value()) {
    return absl::UnavailableError("there is no pooler to copy from");
  }
  auto port = source->port_map().find("postgres");
  if (port == source->port_map().end()) {
    return absl::UnavailableError(absl::StrCat(topology::IdString(source->id()), " has no PostgreSQL port"));
  }
  MG_ASSIGN_OR_RETURN(auto order, ReadRestoreOrder(config_));
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_RESTORING_FROM_BACKUP);
  if (order.has_value() && order->standby()) {
    absl::Status restored = CloneFromBackup(*order, source->hostname(), port->second);
    SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
    if (!restored.ok() && !stop_ && pgctld_.Status(absl::Seconds(1)).state != PgState::kUnreachable) {
      return PutBack(*order, restored);
    }
    return restored;
  }
  if (promises_->Get().term_revocation().revoked_below_term() > 0) {
    // It has had data, and may have made writes durable that it would forget.
    MG_RETURN_IF_ERROR(WithContext(CheckLeads(Snapshot(), source->id()), "the lost data cannot be copied anew now"));
  }
  log::Info("base backup begins", {{"source", topology::IdString(source->id())}});
  absl::Status status = [&]() -> absl::Status {
    if (pgctld_.Status(absl::Seconds(1)).state == PgState::kRunning) {
      watched_ = nullptr;
      MG_RETURN_IF_ERROR(pgctld_.Stop("immediate", kStartLimit));
    }
    MG_RETURN_IF_ERROR(TakeBaseBackup(config_, source->hostname(), port->second, absl::Now() + kCloneLimit, stop_));
    MG_RETURN_IF_ERROR(RemoveTree(BootstrapSentinel(config_)));
    MG_RETURN_IF_ERROR(RemoveTree(RewindSentinel(config_)));
    MG_RETURN_IF_ERROR(BeginAbove(order.has_value() ? order->terms_used() : 0));
    MG_RETURN_IF_ERROR(RemoveRestoreOrder(config_));  // the copied server has done it
    log::Info("base backup taken", {{"source", topology::IdString(source->id())}});
    {
      std::lock_guard lock(mutex_);
      state_.postgres = PgState::kStopped;
    }
    return StartStandby();
  }();
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
  if (status.ok()) {
    Change([](ManagerState& state) { state.suspected_divergence = false; });
  }
  return status;
}

absl::Status Manager::StartStandby() {
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_STARTING);
  watched_ = nullptr;
  Change([](ManagerState& state) { state.died_leading.Clear(); });
  absl::Status status = StartFollowing(Snapshot().suspected_divergence, kStartLimit);
  data_watch_.Tried(status);
  Change([&](ManagerState& state) {
    state.missing_segment = status.ok() ? "" : SegmentSaidToBeGone(std::string(status.message()));
  });
  if (status.ok()) {
    log::Info("PostgreSQL started as a standby");
    Look();
    // The next to come is an order of an orch: its connection is made beforehand.
    (void)Control(absl::Now() + kSchemaLimit);
  }
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
  return status;
}

// Tried once for each death: where PostgreSQL is not back within the bound, or not as what it was, it becomes a
// standby. No client comes in before Resume has made its rule, and with it all that came back, durable.
absl::Status Manager::RestartInPlace() {
  log::Info("PostgreSQL died: it goes on as the leader that it was");
  Change([](ManagerState& state) { state.died_leading.Clear(); });
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_STARTING);
  watched_ = nullptr;
  in_place_until_ = QuorumWatch::Now() + kInPlaceLimit;
  absl::Status status = pgctld_.Start(true, false, kInPlaceLimit);
  if (!status.ok()) {
    log::Warn("it does not come back as the leader in time", {{"error", status}});
    status = pgctld_.RestartAsStandby("immediate", kStartLimit);
  }
  if (status.ok()) {
    Look();
  }
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
  return status;
}

// For a PostgreSQL that does not take orders by SQL: the settings of the leader that the topology knows, unless this
// node has promised not to follow it. Whether its log fits is seen to by the next SetPrimary; where it does not,
// PostgreSQL takes nothing from that leader. True: the settings have changed.
absl::StatusOr<bool> Manager::PointToLeader() {
  ManagerState state = Snapshot();
  const clustermetadata::Multipooler* leader = nullptr;
  for (const clustermetadata::Multipooler& pooler : state.poolers) {
    if (pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
        topology::ShardKeyString(pooler.shard_key()) == topology::ShardKeyString(config_.shard) &&
        (leader == nullptr || consensus::Compare(pooler.routing_state().rule(), leader->routing_state().rule()) > 0)) {
      leader = &pooler;
    }
  }
  if (leader == nullptr || consensus::SameNode(leader->id(), config_.id) || state.manually_stopped ||
      consensus::IsRevoked(leader->routing_state().rule(), promises_->Get())) {
    return false;
  }
  auto port = leader->port_map().find("postgres");
  if (port == leader->port_map().end()) {
    return false;
  }
  const std::string path = config_.data_directory + "/postgresql.auto.conf";
  MG_ASSIGN_OR_RETURN(std::string before, ReadFile(path));
  MG_RETURN_IF_ERROR(WriteReplicationPassfile(config_));
  MG_RETURN_IF_ERROR(EditAutoConf(config_.data_directory,
                                  {{"primary_conninfo", PrimaryConninfo(config_, leader->hostname(), port->second)}},
                                  config_.run_as));
  MG_ASSIGN_OR_RETURN(std::string after, ReadFile(path));
  if (before == after) {
    return false;
  }
  log::Info("follows, until an orch says otherwise", {{"primary", topology::IdString(leader->id())}});
  return true;
}

// A standby whose data was rewound, or copied, from a leader that has died since is not consistent before it has more
// of that log, and takes no orders until then: so it is pointed to whoever leads while it starts.
absl::Status Manager::StartFollowing(bool suspected_divergence, absl::Duration limit) {
  absl::Time end = absl::Now() + limit;
  if (absl::StatusOr<bool> pointed = PointToLeader(); !pointed.ok()) {
    log::Warn("could not be pointed to the leader before its start", {{"error", pointed.status()}});
  }
  while (true) {
    absl::Time begun = absl::Now();
    absl::Status started = pgctld_.Start(false, suspected_divergence, std::min(kStartLook, end - begun));
    // Which side of the call gives up first is chance, and pgctld's errors have one code.
    bool goes_on = absl::Now() - begun > 0.8 * kStartLook;
    // What its source has no longer will not come; an orch may have it copied from a leader now.
    goes_on = goes_on && SegmentSaidToBeGone(std::string(started.message())).empty();
    if (started.ok() || !goes_on || absl::Now() >= end || stop_) {
      return started;
    }
    MG_ASSIGN_OR_RETURN(bool changed, PointToLeader());
    if (changed) {
      MG_RETURN_IF_ERROR(pgctld_.ReloadConfig(kStartLook));
    }
  }
}

}  // namespace mg::multipooler
