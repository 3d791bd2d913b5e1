#include "components/multipooler/manager/manager_state.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/rpc/proto_time.h"
#include "common/topology/drained.h"
#include "common/topology/restarts_off.h"
#include "common/topology/topology.h"
#include "components/multipooler/manager/conninfo.h"

namespace mg::multipooler {
namespace {

namespace data = multipoolermanagerdata;

data::PostgresStatus PostgresStatusOf(const ManagerState& state) {
  if (state.handing_over) {
    return data::POSTGRES_STATUS_PRIMARY;
  }
  if (!state.connected || state.sealed || !state.view.has_value()) {
    return state.action == data::POSTGRES_ACTION_STARTING ? data::POSTGRES_STATUS_STARTING
                                                          : data::POSTGRES_STATUS_UNKNOWN;
  }
  if (state.promoting) {
    return data::POSTGRES_STATUS_PROMOTING;
  }
  return state.view->in_recovery ? data::POSTGRES_STATUS_STANDBY : data::POSTGRES_STATUS_PRIMARY;
}

// `ANY 1 ("a", "b")` as a message.
void ParseStandbyNames(const PostgresView& view, data::SynchronousReplicationConfiguration* out) {
  data::SynchronousCommitLevel level = data::SYNCHRONOUS_COMMIT_ON;
  (void)data::SynchronousCommitLevel_Parse(
      "SYNCHRONOUS_COMMIT_" +
          [&] {
            std::string upper = view.synchronous_commit;
            for (char& c : upper) c = static_cast<char>(toupper(c));
            return upper;
          }(),
      &level);
  out->set_synchronous_commit(level);
  const std::string& names = view.synchronous_standby_names;
  if (names.empty()) {
    return;
  }
  out->set_synchronous_method(names.starts_with("ANY") ? data::SYNCHRONOUS_METHOD_ANY : data::SYNCHRONOUS_METHOD_FIRST);
  std::vector<std::string> quoted = absl::StrSplit(names, '"');
  std::vector<std::string> words = absl::StrSplit(quoted[0], absl::ByAnyChar(" ("), absl::SkipEmpty());
  int count = 0;
  if (words.size() >= 2 && absl::SimpleAtoi(words[1], &count)) {
    out->set_num_sync(count);
  }
  for (std::size_t i = 1; i < quoted.size(); i += 2) {
    out->add_standby_application_names(quoted[i]);
    absl::StatusOr<clustermetadata::ID> id = topology::ParseClusterId(quoted[i]);
    if (id.ok()) {
      *out->add_standby_ids() = *id;
    }
  }
}

void FillPrimary(const ManagerState& state, data::PrimaryStatus* out) {
  const PostgresView& view = *state.view;
  out->set_lsn(view.lsn);
  out->set_ready(state.leading);
  out->set_max_wal_senders(view.max_wal_senders);
  for (const Follower& follower : view.followers) {
    absl::StatusOr<clustermetadata::ID> id = topology::ParseClusterId(follower.name);
    if (id.ok()) {
      *out->add_connected_followers() = *id;
    }
  }
  ParseStandbyNames(view, out->mutable_sync_replication_config());
}

void FillStandby(const PostgresView& view, data::StandbyReplicationStatus* out) {
  out->set_last_replay_lsn(view.replay_lsn);
  out->set_last_receive_lsn(view.receive_lsn);
  out->set_is_wal_replay_paused(view.replay_paused);
  out->set_wal_replay_pause_state(view.pause_state);
  out->set_last_xact_replay_timestamp(view.last_xact_replay);
  if (view.heartbeat > 0) {
    rpc::SetDuration(absl::Seconds(std::max(view.read_at - view.heartbeat, 0.0)), out->mutable_lag());
  }
  data::PrimaryConnInfo* info = out->mutable_primary_conn_info();
  info->set_raw(WithoutPassword(view.primary_conninfo));  // ours has a passfile; set up by hand it may be another
  info->set_host(ConninfoValue(view.primary_conninfo, "host"));
  int port = 0;
  if (absl::SimpleAtoi(ConninfoValue(view.primary_conninfo, "port"), &port)) {
    info->set_port(port);
  }
  info->set_user(ConninfoValue(view.primary_conninfo, "user"));
  info->set_application_name(ConninfoValue(view.primary_conninfo, "application_name"));
  info->set_passfile(ConninfoValue(view.primary_conninfo, "passfile"));
  info->set_dbname(ConninfoValue(view.primary_conninfo, "dbname"));
  out->set_wal_receiver_status(view.receiver_status);
  if (view.last_message > 0) {
    rpc::SetTime(absl::FromUnixNanos(static_cast<std::int64_t>(view.last_message * 1e9)),
                 out->mutable_last_msg_receive_time());
  }
  if (view.receive_advanced > 0) {
    rpc::SetTime(absl::FromUnixNanos(static_cast<std::int64_t>(view.receive_advanced * 1e9)),
                 out->mutable_last_receive_lsn_advance_time());
  }
  rpc::SetDuration(absl::Seconds(view.receiver_status_interval_s), out->mutable_wal_receiver_status_interval());
  rpc::SetDuration(absl::Milliseconds(view.receiver_timeout_ms), out->mutable_wal_receiver_timeout());
}

// Upstream's old label, still read by operators.
clustermetadata::PoolerType TypeOf(const ManagerState& state) {
  if (state.lifecycle == clustermetadata::LIFECYCLE_SHUTDOWN) {
    return clustermetadata::UNKNOWN;
  }
  return ServingOf(state).mode == ServingMode::kReadWrite ? clustermetadata::PRIMARY : clustermetadata::REPLICA;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void SetType(clustermetadata::PoolerType type, clustermetadata::Multipooler* record) { record->set_type(type); }
#pragma GCC diagnostic pop

}  // namespace

clustermetadata::ConsensusStatus BuildConsensusStatus(const Config& config, const ManagerState& state,
                                                      const clustermetadata::ConsensusPromises& promises) {
  clustermetadata::ConsensusStatus status;
  *status.mutable_id() = config.id;
  if (promises.has_term_revocation()) {
    *status.mutable_term_revocation() = promises.term_revocation();
  }
  if (promises.has_recruit_blocked_until()) {
    *status.mutable_recruit_blocked_until() = promises.recruit_blocked_until();
  }
  if (state.view.has_value() && state.view->has_rule) {
    *status.mutable_current_position()->mutable_position() = state.view->rule;
    status.mutable_current_position()->set_lsn(state.view->lsn);
  }
  if (state.replication_primary.has_primary()) {
    *status.mutable_replication_primary() = state.replication_primary;
    if (consensus::SameNode(state.replication_primary.primary().id(), config.id)) {
      status.mutable_replication_primary()->set_rewind_ready(state.leading && state.view.has_value() &&
                                                             state.view->checkpointed);
    }
  }
  return status;
}

data::StatusResponse BuildStatus(const Config& config, const ManagerState& state,
                                 const clustermetadata::ConsensusPromises& promises) {
  data::StatusResponse response;
  data::Status* status = response.mutable_status();
  // Upstream's word for a node that is taken out of service; its records no longer have it, and ours neither.
  status->set_pooler_type(state.drained ? clustermetadata::DRAINED : TypeOf(state));
  status->set_is_initialized(state.initialized);
  status->set_has_data_directory(state.connected || state.postgres == PgState::kStopped ||
                                 state.postgres == PgState::kRunning);
  status->set_postgres_running(state.connected || state.postgres == PgState::kRunning);
  status->set_postgres_ready((state.connected && !state.sealed) || state.handing_over);
  status->set_postgres_status(PostgresStatusOf(state));
  status->set_shard_id(config.shard.shard());
  status->set_postgres_action(state.action);
  if (state.action != data::POSTGRES_ACTION_UNSPECIFIED) {
    rpc::SetDuration(absl::Now() - state.action_since, status->mutable_postgres_action_duration());
  }
  if (state.connected && state.view.has_value()) {
    status->set_wal_position(state.view->lsn);
    if (state.view->in_recovery) {
      FillStandby(*state.view, status->mutable_replication_status());
    } else {
      FillPrimary(state, status->mutable_primary_status());
    }
  }
  *response.mutable_consensus_status() = BuildConsensusStatus(config, state, promises);
  clustermetadata::AvailabilityStatus* availability = response.mutable_availability_status();
  availability->set_suspected_divergence(state.suspected_divergence);
  bool ineligible = state.stopping || state.manually_stopped;
  availability->mutable_cohort_eligibility_status()->set_signal(
      ineligible ? clustermetadata::COHORT_ELIGIBILITY_SIGNAL_INELIGIBLE
                 : clustermetadata::COHORT_ELIGIBILITY_SIGNAL_ELIGIBLE);
  if (state.leadership.has_value()) {
    *availability->mutable_leadership_status() = *state.leadership;
  }
  if (state.leading && state.quorum_lost) {
    // It lives and can do nothing: whoever else reaches the cohort may lead.
    availability->mutable_leadership_status()->set_leader_term(state.leading_rule.coordinator_term());
    availability->mutable_leadership_status()->set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
  }
  return response;
}

Serving ServingOf(const ManagerState& state) {
  if (!state.connected || !state.view.has_value() || !state.initialized || state.stopping || state.promoting) {
    return {};
  }
  if (state.view->in_recovery) {
    return state.drained ? Serving{} : Serving{.mode = ServingMode::kReadOnly, .draining = state.drain_pending};
  }
  if (!state.leading) {
    return {};
  }
  if (state.quorum_lost || state.handing_over) {
    return {};
  }
  return {.mode = ServingMode::kReadWrite,
          .draining = state.draining,
          .coordinator_term = state.leading_rule.coordinator_term(),
          .leader_subterm = state.leading_rule.leader_subterm()};
}

clustermetadata::Multipooler BuildRecord(const Config& config, const ManagerState& state) {
  clustermetadata::Multipooler record;
  *record.mutable_id() = config.id;
  *record.mutable_shard_key() = config.shard;
  record.set_hostname(config.hostname);
  auto& ports = *record.mutable_port_map();
  ports["grpc"] = config.grpc_port;
  ports["http"] = config.http_port;
  ports["postgres"] = config.postgres.port;
  if (config.pooler_pg_port != 0) {
    ports["pooler-pg"] = config.pooler_pg_port;
  }
  record.set_pooler_dir(config.pooler_dir);
  record.set_pg_data_dir(config.data_directory);
  clustermetadata::PoolerLifecycle* lifecycle = record.mutable_lifecycle_status();
  lifecycle->set_status(state.lifecycle);
  const std::string reason = state.drained ? topology::DrainedReason(state.drain_reason) : state.lifecycle_reason;
  lifecycle->set_reason(state.restarts_enabled ? reason : topology::WithRestartsOff(reason));
  rpc::SetTime(state.lifecycle_since, lifecycle->mutable_updated());
  Serving serving = ServingOf(state);
  record.set_serving_status(serving.mode == ServingMode::kNone ? clustermetadata::DISABLED
                            : serving.draining                 ? clustermetadata::DRAINING
                                                               : clustermetadata::SERVING);
  SetType(TypeOf(state), &record);
  if (state.lifecycle == clustermetadata::LIFECYCLE_SHUTDOWN) {
    return record;
  }
  ManagerState with_quorum = state;  // to lose the quorum is not to give up the lead
  with_quorum.quorum_lost = false;
  if (ServingOf(with_quorum).mode == ServingMode::kReadWrite) {
    record.mutable_routing_state()->set_role(clustermetadata::ROUTING_ROLE_PRIMARY);
    *record.mutable_routing_state()->mutable_rule() = state.leading_rule;
  } else {
    record.mutable_routing_state()->set_role(clustermetadata::ROUTING_ROLE_REPLICA);
  }
  return record;
}

std::optional<clustermetadata::Multipooler> CloneSource(const Config& config, const ManagerState& state) {
  std::optional<clustermetadata::Multipooler> leader;
  std::optional<clustermetadata::Multipooler> seed;
  for (const clustermetadata::Multipooler& pooler : state.poolers) {
    if (consensus::SameNode(pooler.id(), config.id) ||
        topology::ShardKeyString(pooler.shard_key()) != topology::ShardKeyString(config.shard)) {
      continue;
    }
    if (pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
        (!leader.has_value() ||
         consensus::Compare(pooler.routing_state().rule(), leader->routing_state().rule()) > 0)) {
      leader = pooler;
    }
    if (state.claim.has_claimer_id() && consensus::SameNode(pooler.id(), state.claim.claimer_id()) &&
        pooler.lifecycle_status().status() == clustermetadata::LIFECYCLE_ACTIVE) {
      seed = pooler;
    }
  }
  return leader.has_value() ? leader : seed;
}

}  // namespace mg::multipooler
