#include "components/multipooler/manager/postgres_settings.h"

#include <poll.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::multipooler {
namespace {

// PostgreSQL has no event for these states, so they are asked for, at first often.
constexpr int kFirstPauseMs = 1;
constexpr int kLongestPauseMs = 20;
constexpr absl::Duration kReplayHold = absl::Milliseconds(5);

// Asks `done` again and again until it says true.
template <typename F>
absl::Status PollUntil(const char* what, absl::Time deadline, F done) {
  int pause = kFirstPauseMs;
  while (true) {
    MG_ASSIGN_OR_RETURN(bool reached, done());
    if (reached) {
      return absl::OkStatus();
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("not in time: ", what));
    }
    poll(nullptr, 0, pause);
    pause = std::min(pause * 2, kLongestPauseMs);
  }
}

std::string ConfQuote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "''"}}), "'");
}

std::string ConninfoQuote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

}  // namespace

absl::Status ApplySettings(pgsql::Connection& connection, const std::vector<Setting>& settings, absl::Time deadline) {
  bool changed = false;
  for (const auto& [name, value] : settings) {
    MG_ASSIGN_OR_RETURN(pgsql::Result row,
                        connection.Query("SELECT current_setting($1), setting FROM pg_file_settings "
                                         "WHERE name = $1 AND sourcefile LIKE '%/postgresql.auto.conf' "
                                         "UNION ALL SELECT current_setting($1), NULL LIMIT 1",
                                         {name}, deadline));
    bool in_file = !row.IsNull(0, 1);
    if (value.has_value() ? (row.Text(0, 0) == *value && (!in_file || row.Text(0, 1) == *value)) : !in_file) {
      continue;
    }
    std::string sql = value.has_value() ? absl::StrCat("ALTER SYSTEM SET ", name, " = ", pgsql::QuoteLiteral(*value))
                                        : absl::StrCat("ALTER SYSTEM RESET ", name);
    MG_RETURN_IF_ERROR(WithContext(connection.Execute(sql, deadline).status(), absl::StrCat("set ", name)));
    changed = true;
  }
  if (!changed) {
    return absl::OkStatus();
  }
  MG_ASSIGN_OR_RETURN(pgsql::Result before,
                      connection.Execute("SELECT pg_conf_load_time()::text, pg_reload_conf()", deadline));
  return PollUntil("reload of postgresql's settings", deadline, [&]() -> absl::StatusOr<bool> {
    MG_ASSIGN_OR_RETURN(pgsql::Result now, connection.Execute("SELECT pg_conf_load_time()::text", deadline));
    return now.Text(0, 0) != before.Text(0, 0);
  });
}

absl::Status EditAutoConf(const std::string& data_directory, const std::vector<Setting>& settings,
                          const std::string& owner) {
  std::string path = JoinPath(data_directory, "postgresql.auto.conf");
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  std::string edited;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, line.find('=')));
    bool ours = std::any_of(settings.begin(), settings.end(), [&](const Setting& s) { return name == s.first; });
    if (!ours) {
      absl::StrAppend(&edited, line, "\n");
    }
  }
  for (const auto& [name, value] : settings) {
    if (value.has_value()) {
      absl::StrAppend(&edited, name, " = ", ConfQuote(*value), "\n");
    }
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, edited, 0600));
  return ChangeOwner(path, owner);
}

absl::Status WaitForCheckpointer(pgsql::Connection& connection, absl::Time deadline) {
  // In these two waits it answers a reload at once; 10 ms are the time to be scheduled.
  absl::Time earliest = absl::Now() + absl::Milliseconds(10);
  return PollUntil("checkpointer to take over the settings", deadline, [&]() -> absl::StatusOr<bool> {
    MG_ASSIGN_OR_RETURN(pgsql::Result row,
                        connection.Execute("SELECT wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay') FROM "
                                           "pg_stat_activity WHERE backend_type = 'checkpointer'",
                                           deadline));
    return absl::Now() >= earliest && row.Bool(0, 0);
  });
}

absl::Status WaitForReplay(pgsql::Connection& connection, absl::Time deadline) {
  // The startup process shows this wait when neither pg_wal nor a stream has more: everything that is there is
  // replayed. (Comparing with the received position would not do: the last record may be there in part only.) It must
  // hold for a moment, because it may have been seen before the startup process took over the cleared primary_conninfo.
  absl::Time since = absl::InfiniteFuture();
  return PollUntil("replay of everything received", deadline, [&]() -> absl::StatusOr<bool> {
    MG_ASSIGN_OR_RETURN(
        pgsql::Result row,
        connection.Execute("SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'), "
                           "coalesce((SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'), ''), "
                           "pg_is_in_recovery()",
                           deadline));
    if (!row.Bool(0, 2)) {
      return absl::FailedPreconditionError("postgresql has left recovery");
    }
    if (row.Int(0, 0) != 0) {
      since = absl::InfiniteFuture();
      return false;
    }
    if (row.Text(0, 1) != "RecoveryRetrieveRetryInterval") {
      return false;  // between two such waits it looks for more
    }
    absl::Time now = absl::Now();
    since = std::min(since, now);
    return now - since >= kReplayHold;
  });
}

absl::Status WaitForEndOfRecovery(pgsql::Connection& connection, const std::atomic<bool>& stop, absl::Time deadline) {
  return PollUntil("end of recovery", deadline, [&]() -> absl::StatusOr<bool> {
    if (stop) {
      return absl::CancelledError("this pooler is stopping");
    }
    MG_ASSIGN_OR_RETURN(pgsql::Result row, connection.Execute("SELECT pg_is_in_recovery()", deadline));
    return !row.Bool(0, 0);
  });
}

absl::Status WaitForArchive(pgsql::Connection& connection, const std::string& segment, absl::Time deadline) {
  std::string waiting;
  absl::Time ask_until = deadline - absl::Seconds(1);  // there is an answer to be given in time
  absl::Status status = PollUntil("archive of the WAL", ask_until, [&]() -> absl::StatusOr<bool> {
    // Names of segments are ordered behind the timeline; that of a history has none of it.
    MG_ASSIGN_OR_RETURN(pgsql::Result row,
                        connection.Query("SELECT coalesce(min(name), '') FROM pg_ls_archive_statusdir() "
                                         "WHERE name LIKE '%.ready' AND (name LIKE '%.history.ready' OR "
                                         "substr(name, 9, 16) <= substr($1, 9, 16))",
                                         {segment}, deadline));
    waiting = row.Text(0, 0);
    return waiting.empty();
  });
  if (!absl::IsDeadlineExceeded(status)) {
    return status;
  }
  return absl::DeadlineExceededError(
      absl::StrCat("archiving does not get ahead: ", waiting.substr(0, waiting.rfind(".ready")),
                   " waits; PostgreSQL's log says why ('multigres logs postgres --grep archive')"));
}

absl::Status WaitForStream(pgsql::Connection& connection, absl::Time deadline) {
  return PollUntil("stream from the primary", deadline, [&]() -> absl::StatusOr<bool> {
    MG_ASSIGN_OR_RETURN(
        pgsql::Result row,
        connection.Execute("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", deadline));
    return row.Int(0, 0) > 0;
  });
}

absl::Status WaitForAcknowledgement(pgsql::Connection& connection, const clustermetadata::ShardRule& rule,
                                    const clustermetadata::ID& self, const std::string& lsn, absl::Time deadline) {
  const clustermetadata::DurabilityPolicy& policy = rule.durability_policy();
  if (policy.required_count() <= 1) {
    return absl::OkStatus();
  }
  return PollUntil("acknowledgement of the rule by the standbys", deadline, [&]() -> absl::StatusOr<bool> {
    MG_ASSIGN_OR_RETURN(
        pgsql::Result rows,
        connection.Query("SELECT application_name FROM pg_stat_replication WHERE flush_lsn >= $1::pg_lsn", {lsn},
                         deadline));
    consensus::Cohort holders = {self};
    for (const clustermetadata::ID& member : rule.cohort_members()) {
      for (int i = 0; i < rows.rows(); ++i) {
        if (rows.Text(i, 0) == topology::ClusterIdString(member)) {
          holders.push_back(member);
        }
      }
    }
    return consensus::Satisfies(policy, holders);
  });
}

// After a break of the network TCP sends again what was lost only when its retransmission is due, which is later the
// longer the break was. A connection that is found dead after two seconds and made anew is back within two.
constexpr char kFindDead[] = " keepalives_idle=1 keepalives_interval=1 tcp_user_timeout=2000";

std::string PrimaryConninfo(const Config& config, const std::string& host, int port) {
  return absl::StrCat("host=", ConninfoQuote(host), " port=", port, " user=", ConninfoQuote(config.postgres.superuser),
                      " application_name=", ConninfoQuote(topology::ClusterIdString(config.id)),
                      " passfile=", ConninfoQuote(ReplicationPassfile(config)), " connect_timeout=5", kFindDead);
}

absl::Status WriteReplicationPassfile(const Config& config) {
  MG_ASSIGN_OR_RETURN(std::string password, config.postgres.password());
  std::string line = absl::StrCat("*:*:*:", config.postgres.superuser, ":",
                                  absl::StrReplaceAll(password, {{"\\", "\\\\"}, {":", "\\:"}}), "\n");
  std::string path = ReplicationPassfile(config);
  absl::StatusOr<std::string> present = ReadFile(path);
  if (!present.ok() || *present != line) {
    MG_RETURN_IF_ERROR(WriteFileAtomically(path, line, 0600));
  }
  return ChangeOwner(path, config.run_as);
}

}  // namespace mg::multipooler
