#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kInitLimit = absl::Minutes(2);
constexpr absl::Duration kStartLimit = absl::Minutes(2);
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

absl::Status Manager::Bootstrap() {
  ManagerState state = Snapshot();
  MG_RETURN_IF_ERROR(CheckNobodyHasData(state));
  MG_ASSIGN_OR_RETURN(auto database, topology_->GetDatabase(config_.shard.database(), absl::Now() + kTopologyLimit));
  const clustermetadata::DurabilityPolicy& policy = database.record.bootstrap_durability_policy();
  MG_RETURN_IF_ERROR(WithContext(consensus::ValidatePolicy(policy), "the database's bootstrap durability policy"));
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_CREATING_FIRST_BACKUP);
  absl::Status status = [&]() -> absl::Status {
    if (state.postgres == PgState::kRunning) {
      watched_ = nullptr;
      MG_RETURN_IF_ERROR(pgctld_.Stop("immediate", kStartLimit));
    }
    MG_RETURN_IF_ERROR(WriteFileAtomically(BootstrapSentinel(config_), "", 0600));
    MG_RETURN_IF_ERROR(RemoveTree(config_.data_directory));
    MG_RETURN_IF_ERROR(pgctld_.InitDataDir(kInitLimit));
    log::Info("data directory initialised");
    MG_RETURN_IF_ERROR(pgctld_.Start(true, false, kStartLimit));
    log::Info("PostgreSQL started as the shard's seed");
    absl::Time deadline = absl::Now() + kSchemaLimit;
    MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
    MG_RETURN_IF_ERROR(CreateRuleSchema(*connection, policy, topology::ClusterIdString(config_.id), deadline));
    MG_RETURN_IF_ERROR(WriteReplicationPassfile(config_));
    MG_RETURN_IF_ERROR(RemoveTree(BootstrapSentinel(config_)));
    log::Info("shard founded", {{"rule", "{0,1}"}, {"policy", policy.policy_name()}});
    return LookNow(*connection, deadline).status();
  }();
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
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
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_RESTORING_FROM_BACKUP);
  log::Info("base backup begins", {{"source", topology::IdString(source->id())}});
  absl::Status status = [&]() -> absl::Status {
    if (pgctld_.Status(absl::Seconds(1)).state == PgState::kRunning) {
      watched_ = nullptr;
      MG_RETURN_IF_ERROR(pgctld_.Stop("immediate", kStartLimit));
    }
    MG_RETURN_IF_ERROR(TakeBaseBackup(config_, source->hostname(), port->second, absl::Now() + kCloneLimit, stop_));
    MG_RETURN_IF_ERROR(RemoveTree(BootstrapSentinel(config_)));
    MG_RETURN_IF_ERROR(RemoveTree(RewindSentinel(config_)));
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
  absl::Status status = pgctld_.Start(false, Snapshot().suspected_divergence, kStartLimit);
  if (status.ok()) {
    log::Info("PostgreSQL started as a standby");
    Look();
    // The next to come is an order of an orch: its connection is made beforehand.
    (void)Control(absl::Now() + kSchemaLimit);
  }
  SetAction(multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED);
  return status;
}

}  // namespace mg::multipooler
