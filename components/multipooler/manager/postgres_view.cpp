#include "components/multipooler/manager/postgres_view.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multipooler/manager/rule_store.h"

namespace mg::multipooler {
namespace {

// A receiver that has just started says the start of its segment as received: hence the greatest of both positions.
constexpr char kState[] = R"sql(
SELECT r.recovering,
       (CASE WHEN r.recovering
             THEN greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), coalesce(pg_last_wal_replay_lsn(), '0/0'))
             ELSE pg_current_wal_lsn() END)::text,
       to_regclass('multigres.current_rule') IS NOT NULL,
       f.names,
       current_setting('synchronous_standby_names'),
       current_setting('synchronous_commit'),
       current_setting('max_wal_senders'),
       NOT r.recovering AND (SELECT timeline_id FROM pg_control_checkpoint()) = r.timeline,
       pg_last_wal_replay_lsn()::text,
       pg_last_wal_receive_lsn()::text,
       CASE WHEN r.recovering THEN pg_is_wal_replay_paused() ELSE false END,
       CASE WHEN r.recovering THEN pg_get_wal_replay_pause_state() ELSE '' END,
       coalesce(pg_last_xact_replay_timestamp()::text, ''),
       current_setting('primary_conninfo'),
       coalesce(w.status, ''),
       coalesce(extract(epoch FROM w.last_msg_receipt_time)::float8, 0),
       current_setting('wal_receiver_status_interval'),
       current_setting('wal_receiver_timeout'),
       f.flushed,
       CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity') THEN a.last_failed_wal ELSE '' END
  FROM (SELECT pg_is_in_recovery() AS recovering,
               CASE WHEN pg_is_in_recovery() THEN 0
                    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline) r
  LEFT JOIN (SELECT coalesce(array_agg(application_name), '{}') AS names,
                    coalesce(array_agg(coalesce(flush_lsn, '0/0')::text), '{}') AS flushed
               FROM pg_stat_replication) f ON true
  LEFT JOIN pg_stat_wal_receiver w ON true
 CROSS JOIN pg_stat_archiver a)sql";

// 500ms, 10s, 1min: as current_setting gives durations. (pg_settings has plain numbers, and costs milliseconds to
// read.)
int Milliseconds(const std::string& text) {
  std::size_t unit = text.find_first_not_of("0123456789");
  int number = 0;
  if (!absl::SimpleAtoi(text.substr(0, unit), &number)) {
    return 0;
  }
  std::string name = unit == std::string::npos ? "" : text.substr(unit);
  return name == "s" ? number * 1000 : name == "min" ? number * 60000 : name == "h" ? number * 3600000 : number;
}

}  // namespace

absl::StatusOr<PostgresView> ReadView(pgsql::Connection& connection, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(pgsql::Result row, connection.Query(kState, {}, deadline));
  if (row.rows() != 1) {
    return absl::InternalError("postgresql gave no state");
  }
  PostgresView view;
  view.in_recovery = row.Bool(0, 0);
  view.lsn = row.Text(0, 1);
  view.has_rule = row.Bool(0, 2);
  std::vector<std::string> names = row.TextArray(0, 3);
  std::vector<std::string> flushed = row.TextArray(0, 18);
  for (std::size_t i = 0; i < std::min(names.size(), flushed.size()); ++i) {
    MG_ASSIGN_OR_RETURN(std::uint64_t lsn, consensus::ParseLsn(flushed[i]));
    view.followers.push_back({.name = std::move(names[i]), .flushed = lsn});
  }
  view.synchronous_standby_names = row.Text(0, 4);
  view.synchronous_commit = row.Text(0, 5);
  view.max_wal_senders = static_cast<int>(row.Int(0, 6));
  view.checkpointed = row.Bool(0, 7);
  view.replay_lsn = row.Text(0, 8);
  view.receive_lsn = row.Text(0, 9);
  view.replay_paused = row.Bool(0, 10);
  view.pause_state = row.Text(0, 11);
  view.last_xact_replay = row.Text(0, 12);
  view.primary_conninfo = row.Text(0, 13);
  view.receiver_status = row.Text(0, 14);
  view.last_message = row.Double(0, 15);
  view.receiver_status_interval_s = Milliseconds(row.Text(0, 16)) / 1000;
  view.receiver_timeout_ms = Milliseconds(row.Text(0, 17));
  view.archive_fails_at = row.Text(0, 19);
  if (view.has_rule) {
    absl::StatusOr<clustermetadata::RulePosition> rule = ReadRule(connection, deadline);
    if (rule.ok()) {
      view.rule = *std::move(rule);
    } else if (absl::IsNotFound(rule.status())) {
      view.has_rule = false;
    } else {
      return rule.status();
    }
  }
  if (view.has_rule && view.in_recovery) {
    MG_ASSIGN_OR_RETURN(pgsql::Result beat,
                        connection.Query("SELECT ts / 1e9::float8, extract(epoch FROM clock_timestamp())::float8 "
                                         "FROM multigres.heartbeat WHERE shard_id = '0'::bytea",
                                         {}, deadline));
    view.heartbeat = beat.Double(0, 0);
    view.read_at = beat.Double(0, 1);
  }
  return view;
}

void ComeAfter(const std::optional<PostgresView>& before, PostgresView* view) {
  if (before.has_value() && !view->receive_lsn.empty()) {
    view->receive_advanced = before->receive_lsn == view->receive_lsn ? before->receive_advanced : view->read_at;
  }
}

std::vector<clustermetadata::ID> PresentMembers(const PostgresView& view, const clustermetadata::ID& self) {
  consensus::Cohort cohort = consensus::CohortOf(view.rule.decision());
  std::vector<clustermetadata::ID> present = {self};
  for (const Follower& follower : view.followers) {
    absl::StatusOr<clustermetadata::ID> id = topology::ParseClusterId(follower.name);
    if (id.ok() && consensus::Contains(cohort, *id) && !consensus::SameNode(*id, self)) {
      present.push_back(*std::move(id));
    }
  }
  return present;
}

}  // namespace mg::multipooler
