#include "components/multipooler/manager/divergence.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/consensus/position.h"
#include "common/consensus/timeline_history.h"
#include "common/status/status.h"

namespace mg::multipooler {

absl::StatusOr<bool> DivergesFromHistory(const std::string& history, int leader_timeline, int timeline,
                                         const std::string& lsn) {
  if (timeline == leader_timeline) {
    return false;
  }
  if (timeline > leader_timeline) {
    return true;
  }
  MG_ASSIGN_OR_RETURN(std::uint64_t position, consensus::ParseLsn(lsn));
  for (const consensus::LeftTimeline& left : consensus::ParseHistory(history)) {
    if (left.timeline == timeline) {
      MG_ASSIGN_OR_RETURN(std::uint64_t left_at, consensus::ParseLsn(left.lsn));
      return position > left_at;
    }
  }
  return true;
}

namespace {

absl::StatusOr<std::unique_ptr<pgsql::Connection>> ConnectToPromoted(const pgsql::ConnectOptions& leader,
                                                                     absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgsql::Connection> connection, pgsql::Connection::Connect(leader, deadline));
  MG_ASSIGN_OR_RETURN(pgsql::Result row, connection->Execute("SELECT pg_is_in_recovery()", deadline));
  if (row.Bool(0, 0)) {
    return absl::UnavailableError("the leader's PostgreSQL is not promoted yet");
  }
  return connection;
}

absl::StatusOr<bool> LacksSegmentOn(pgsql::Connection& connection, const std::string& segment, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(
      pgsql::Result row,
      connection.Query("SELECT right($1, 16) < right(pg_walfile_name(pg_current_wal_lsn()), 16) AND NOT EXISTS "
                       "(SELECT FROM pg_ls_waldir() WHERE length(name) = 24 AND right(name, 16) = right($1, 16))",
                       {segment}, deadline));
  return row.Bool(0, 0);
}

}  // namespace

absl::Status PrepareSource(const pgsql::ConnectOptions& leader, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgsql::Connection> connection, ConnectToPromoted(leader, deadline));
  MG_ASSIGN_OR_RETURN(pgsql::Result row,
                      connection->Execute("SELECT (SELECT timeline_id FROM pg_control_checkpoint()) = "
                                          "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int",
                                          deadline));
  if (row.Bool(0, 0)) {
    return absl::OkStatus();
  }
  return WithContext(connection->Execute("CHECKPOINT", deadline).status(), "checkpoint on the leader");
}

absl::StatusOr<bool> LacksLogAt(const pgsql::ConnectOptions& leader, const std::string& lsn, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgsql::Connection> connection, ConnectToPromoted(leader, deadline));
  // Of a position at a segment's very end the next one is needed.
  MG_ASSIGN_OR_RETURN(pgsql::Result row, connection->Query("SELECT pg_walfile_name($1::pg_lsn + 1)", {lsn}, deadline));
  return LacksSegmentOn(*connection, row.Text(0, 0), deadline);
}

absl::StatusOr<bool> LacksSegment(const pgsql::ConnectOptions& leader, const std::string& segment,
                                  absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgsql::Connection> connection, ConnectToPromoted(leader, deadline));
  return LacksSegmentOn(*connection, segment, deadline);
}

std::string SegmentSaidToBeGone(const std::string& log) {
  const std::string before = "requested WAL segment ";
  constexpr size_t kLength = 24;
  size_t at = log.rfind(before);
  std::string name = at == std::string::npos ? "" : log.substr(at + before.size(), kLength);
  bool whole = name.size() == kLength &&
               std::all_of(name.begin(), name.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
  return whole && absl::StartsWith(log.substr(at + before.size() + kLength), " has already been removed") ? name : "";
}

absl::StatusOr<bool> HasDiverged(const pgsql::ConnectOptions& leader, int timeline, const std::string& lsn,
                                 absl::Time deadline) {
  MG_RETURN_IF_ERROR(ConnectToPromoted(leader, deadline).status());
  pgsql::ConnectOptions options = leader;
  options.replication = true;
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgsql::Connection> connection, pgsql::Connection::Connect(options, deadline));
  MG_ASSIGN_OR_RETURN(pgsql::Result system, connection->Execute("IDENTIFY_SYSTEM", deadline));
  int leader_timeline = static_cast<int>(system.Int(0, 1));
  if (leader_timeline <= 0) {
    return absl::UnavailableError("the leader does not say its timeline");
  }
  std::string history;
  if (leader_timeline > 1) {
    MG_ASSIGN_OR_RETURN(pgsql::Result file,
                        connection->Execute(absl::StrCat("TIMELINE_HISTORY ", leader_timeline), deadline));
    history = file.Text(0, 1);
  }
  return DivergesFromHistory(history, leader_timeline, timeline, lsn);
}

}  // namespace mg::multipooler
