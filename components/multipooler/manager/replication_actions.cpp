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
// A hand-over waits so long for statements that run, and for open transactions; all new work waits meanwhile.
constexpr absl::Duration kDrainLimit = absl::Milliseconds(300);
constexpr absl::Duration kTransactionPatience = absl::Milliseconds(200);
// What has run for longer than this is not over soon. Where that is so everybody goes on, and it is tried again when it
// is over; at the end of this patience it is ended.
constexpr absl::Duration kLongStatement = absl::Milliseconds(100);
constexpr absl::Duration kStatementPatience = absl::Seconds(20);
constexpr int kStatementPauseMs = 20;
constexpr absl::Duration kStopLimit = absl::Seconds(10);
constexpr absl::Duration kSealLimit = absl::Seconds(2);
constexpr absl::Duration kStandbyPatience = absl::Milliseconds(100);
constexpr int kSealPauseMs = 2;

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

// Nobody writes any more. Waits until the standbys have what there is, so that whoever leads next has all of this log.
// Nobody may recruit them before: it would cut their streams.
absl::Status Manager::SealLocked(pgsql::Connection& connection, absl::Time deadline) {
  // A commit of its own that waits for the standbys, and with it for all that was written before. (It must have written
  // something: else PostgreSQL does not wait.)
  MG_ASSIGN_OR_RETURN(pgsql::Result marked,
                      connection.Execute("SELECT pg_logical_emit_message(true, 'multigres', 'hand-over')", deadline));
  if (marked.warned()) {
    return absl::UnavailableError("the wait for the standbys was cut short");
  }
  MG_ASSIGN_OR_RETURN(pgsql::Result end, connection.Execute("SELECT pg_current_wal_flush_lsn()::text", deadline));
  // One has it, by the policy. The others, one of which may be the wished leader, get a moment more.
  absl::Time patience = std::min(deadline, absl::Now() + kStandbyPatience);
  while (absl::Now() < patience) {
    MG_ASSIGN_OR_RETURN(pgsql::Result behind,
                        connection.Query("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND "
                                         "flush_lsn < $1::pg_lsn",
                                         {end.Text(0, 0)}, deadline));
    if (behind.Int(0, 0) == 0) {
      break;
    }
    poll(nullptr, 0, kSealPauseMs);
  }
  return absl::OkStatus();
}

// Until no statement has run for long. Those of open transactions do not count: a transaction is ended soon anyway.
absl::Status Manager::AwaitShortStatements(pgsql::Connection& connection, absl::Time until, absl::Time deadline) {
  while (!stop_ && absl::Now() < until) {
    MG_ASSIGN_OR_RETURN(
        pgsql::Result running,
        connection.Query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = "
                         "'active' AND pid <> pg_backend_pid() AND clock_timestamp() - query_start > $1::interval AND "
                         "query_start - xact_start < '50 ms'",
                         {absl::StrCat(absl::ToInt64Milliseconds(kLongStatement), " ms")}, deadline));
    if (running.Int(0, 0) == 0) {
      break;
    }
    poll(nullptr, 0, kStatementPauseMs);
  }
  return absl::OkStatus();
}

// Afterwards nothing new begins, and what the answer counts is still under way.
absl::StatusOr<Load> Manager::DrainLocked(pgsql::Connection& connection, absl::Time deadline) {
  const absl::Time begun = absl::Now();
  const absl::Time until = std::min(begun + kStatementPatience, begun + (deadline - begun) / 2);
  for (;;) {
    MG_RETURN_IF_ERROR(AwaitShortStatements(connection, until, deadline));
    log::Info("hands the lead over");
    Change([](ManagerState& state) { state.draining = true; });
    const absl::Time now = absl::Now();
    Load left = serving_->WaitForDrain(now + kTransactionPatience, std::min(now + kDrainLimit, deadline));
    if (left.statements == 0 || stop_ || absl::Now() >= until) {
      return left;
    }
    Change([](ManagerState& state) { state.draining = false; });
  }
}

// The standbys have everything before anybody is asked to lead; then the next leader is appointed while this PostgreSQL
// is still on its way to be a standby. It ends at once, without a checkpoint of its own: that would take long, and
// would be past the point from which the next leader goes on.
absl::Status Manager::HandOverLocked(pgsql::Connection& connection, absl::Time deadline) {
  absl::Time begun = absl::Now();
  // So that its recovery, as a standby, is short.
  MG_RETURN_IF_ERROR(WithContext(connection.Execute("CHECKPOINT", deadline).status(), "checkpoint"));
  absl::Time drained = absl::Now();
  MG_ASSIGN_OR_RETURN(Load left, DrainLocked(connection, deadline));
  absl::Time ended = absl::Now();
  Change([](ManagerState& state) { state.handing_over = true; });
  {
    std::lock_guard lock(checkpoint_mutex_);
    if (checkpoint_connection_ != nullptr) {
      checkpoint_connection_->Interrupt();
    }
  }
  absl::Status sealed = SealLocked(connection, std::min(deadline, absl::Now() + kSealLimit));
  if (!sealed.ok()) {
    Change([](ManagerState& state) { state.draining = state.handing_over = false; });
    return WithContext(sealed, "the standbys do not have everything; this node goes on to lead");
  }
  absl::Time handed = absl::Now();
  Change([&](ManagerState& state) {
    state.draining = state.handing_over = state.leading = false;
    state.sealed = state.suspected_divergence = true;
    clustermetadata::LeadershipStatus leadership;
    leadership.set_leader_term(state.leading_rule.coordinator_term());
    leadership.set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
    state.leadership = leadership;
  });
  log::Info("handed over", {{"checkpoint", absl::FormatDuration(drained - begun)},
                            {"drain", absl::FormatDuration(ended - drained)},
                            {"seal", absl::FormatDuration(handed - ended)},
                            {"statements_ended", left.statements},
                            {"transactions_ended", left.transactions}});
  DropControl();
  absl::Status restarted = pgctld_.RestartAsStandby("immediate", std::max(deadline - absl::Now(), kStopLimit));
  Change([](ManagerState& state) { state.sealed = false; });
  return restarted;
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
