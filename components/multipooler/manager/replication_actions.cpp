#include <poll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

constexpr int kLsnPauseMs = 20;
constexpr absl::Duration kReloadLimit = absl::Seconds(5);
// A hand-over waits so long for statements that run, and so long for open transactions; all new work waits meanwhile.
constexpr absl::Duration kDrainLimit = absl::Seconds(5);
constexpr absl::Duration kTransactionPatience = absl::Milliseconds(200);
constexpr absl::Duration kStopLimit = absl::Seconds(10);

absl::Status NeedStandby(const PostgresView& view) {
  return view.in_recovery ? absl::OkStatus()
                          : absl::FailedPreconditionError("PostgreSQL is not in recovery: this is no standby");
}

absl::Status NeedPrimary(const PostgresView& view) {
  return view.in_recovery ? absl::FailedPreconditionError("PostgreSQL is in recovery: this is no primary")
                          : absl::OkStatus();
}

}  // namespace

absl::StatusOr<multipoolermanagerdata::ResignLeadershipResponse> Manager::ResignLeadership(absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  MG_RETURN_IF_ERROR(NeedPrimary(view));
  MG_RETURN_IF_ERROR(WithContext(HandOverLocked(*connection, deadline), "resign"));
  MG_ASSIGN_OR_RETURN(connection, Control(deadline));
  MG_RETURN_IF_ERROR(WaitForReplay(*connection, deadline));
  MG_ASSIGN_OR_RETURN(view, LookNow(*connection, deadline));
  multipoolermanagerdata::ResignLeadershipResponse response;
  response.set_flush_lsn(view.replay_lsn);
  return response;
}

// An orderly stop sends everything to the standbys, the last checkpoint included, so that whoever leads next has all of
// this log. Nobody may recruit them before: it would cut their streams.
absl::Status Manager::HandOverLocked(pgsql::Connection& connection, absl::Time deadline) {
  absl::Time begun = absl::Now();
  // So that the one that ends PostgreSQL, while all writes wait, is short.
  MG_RETURN_IF_ERROR(WithContext(connection.Execute("CHECKPOINT", deadline).status(), "checkpoint"));
  absl::Time drained = absl::Now();
  Change([](ManagerState& state) { state.draining = true; });
  Load left = serving_->WaitForDrain(drained + kTransactionPatience, std::min(drained + kDrainLimit, deadline));
  absl::Time ended = absl::Now();
  Change([](ManagerState& state) { state.handing_over = true; });
  {
    std::lock_guard lock(checkpoint_mutex_);
    if (checkpoint_connection_ != nullptr) {
      checkpoint_connection_->Interrupt();
    }
  }
  DropControl();
  absl::Status stopped = pgctld_.Stop("fast", std::max(deadline - absl::Now(), kStopLimit));
  Change([&](ManagerState& state) {
    state.draining = state.handing_over = state.leading = state.connected = false;
    state.postgres = PgState::kStopped;
    state.suspected_divergence = !stopped.ok();
    clustermetadata::LeadershipStatus leadership;
    leadership.set_leader_term(state.leading_rule.coordinator_term());
    leadership.set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
    state.leadership = leadership;
  });
  log::Info("handed over", {{"checkpoint", absl::FormatDuration(drained - begun)},
                            {"drain", absl::FormatDuration(ended - drained)},
                            {"stop", absl::FormatDuration(absl::Now() - ended)},
                            {"statements_ended", left.statements},
                            {"transactions_ended", left.transactions}});
  if (!stopped.ok()) {
    log::Warn("PostgreSQL did not stop in order", {{"error", stopped}});
    return pgctld_.RestartAsStandby("immediate", std::max(deadline - absl::Now(), kStopLimit));
  }
  return pgctld_.Start(/*as_primary=*/false, /*suspected_divergence=*/false,
                       std::max(deadline - absl::Now(), kStopLimit));
}

absl::Status Manager::WaitForLsn(const std::string& target, absl::Time deadline,
                                 const std::function<bool()>& cancelled) {
  MG_ASSIGN_OR_RETURN(std::uint64_t wanted, consensus::ParseLsn(target));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Connect(deadline));
  while (true) {
    MG_ASSIGN_OR_RETURN(pgsql::Result row,
                        connection->Execute("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text", deadline));
    if (!row.Bool(0, 0)) {
      return absl::FailedPreconditionError("PostgreSQL is not in recovery: this is no standby");
    }
    absl::StatusOr<std::uint64_t> replayed = consensus::ParseLsn(row.Text(0, 1));
    if (replayed.ok() && *replayed >= wanted) {
      return absl::OkStatus();
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("replay is at ", row.Text(0, 1), " and not yet at ", target));
    }
    if (stop_ || cancelled()) {
      return absl::CancelledError("the wait was cancelled");
    }
    poll(nullptr, 0, kLsnPauseMs);
  }
}

absl::Status Manager::StartReplication(absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  Change([](ManagerState& state) { state.manually_stopped = false; });
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  MG_RETURN_IF_ERROR(NeedStandby(view));
  MG_RETURN_IF_ERROR(connection->Execute("SELECT pg_wal_replay_resume()", deadline).status());
  return ConsensusStatusNow(deadline).status();
}

absl::Status Manager::StopReplication(const multipoolermanagerdata::StopReplicationRequest& request,
                                      absl::Time deadline) {
  bool replay = request.mode() != multipoolermanagerdata::REPLICATION_PAUSE_MODE_RECEIVER_ONLY;
  bool receiver = request.mode() != multipoolermanagerdata::REPLICATION_PAUSE_MODE_REPLAY_ONLY;
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  MG_RETURN_IF_ERROR(NeedStandby(view));
  if (receiver) {
    Change([](ManagerState& state) { state.manually_stopped = true; });
    MG_RETURN_IF_ERROR(ApplySettings(*connection, {{"primary_conninfo", ""}}, deadline));
    if (request.wait()) {
      MG_RETURN_IF_ERROR(WaitForReplay(*connection, deadline));
    }
  }
  if (replay) {
    MG_RETURN_IF_ERROR(connection->Execute("SELECT pg_wal_replay_pause()", deadline).status());
  }
  return ConsensusStatusNow(deadline).status();
}

absl::StatusOr<multipoolermanagerdata::ReloadConfigResponse> Manager::ReloadConfig(
    const multipoolermanagerdata::ReloadConfigRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  multipoolermanagerdata::ReloadConfigResponse response;
  for (const auto& [name, value] : request.expected_settings()) {
    MG_ASSIGN_OR_RETURN(
        pgsql::Result row,
        connection->Query("SELECT f.setting, coalesce(f.error, ''), s.context = 'postmaster' FROM pg_settings s "
                          "LEFT JOIN LATERAL (SELECT setting, error FROM pg_file_settings WHERE name = s.name "
                          "ORDER BY seqno DESC LIMIT 1) f ON true WHERE s.name = $1",
                          {name}, deadline));
    if (row.rows() == 1 && !row.IsNull(0, 0) && row.Text(0, 0) == value && row.Text(0, 1).empty()) {
      continue;
    }
    multipoolermanagerdata::SettingMismatch* mismatch = response.add_mismatches();
    mismatch->set_name(name);
    bool known = row.rows() == 1;
    mismatch->set_error(!known                    ? "there is no such setting"
                        : !row.Text(0, 1).empty() ? row.Text(0, 1)
                                                  : "the files have another value");
    mismatch->set_requires_restart(known && row.Bool(0, 2));
    response.set_needs_restart(response.needs_restart() || mismatch->requires_restart());
  }
  if (!response.mismatches().empty()) {
    return response;
  }
  absl::Time limit = std::min(deadline, absl::Now() + kReloadLimit);
  MG_ASSIGN_OR_RETURN(pgsql::Result before,
                      connection->Execute("SELECT pg_conf_load_time()::text, pg_reload_conf()", limit));
  while (absl::Now() < limit) {
    MG_ASSIGN_OR_RETURN(pgsql::Result now, connection->Execute("SELECT pg_conf_load_time()::text, "
                                                               "extract(epoch FROM pg_conf_load_time())::float8",
                                                               limit));
    if (now.Text(0, 0) != before.Text(0, 0)) {
      double seconds = now.Double(0, 1);
      response.mutable_config_load_time()->set_seconds(static_cast<std::int64_t>(seconds));
      response.mutable_config_load_time()->set_nanos(
          static_cast<int>((seconds - static_cast<double>(static_cast<std::int64_t>(seconds))) * 1e9));
      break;
    }
    poll(nullptr, 0, 1);
  }
  return response;
}

}  // namespace mg::multipooler
