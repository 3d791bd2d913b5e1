/// What PostgreSQL says of itself at one moment, read by two statements. A value; reading needs a connection.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/pgsql/connection.h"

namespace mg::multipooler {

/// A row of pg_stat_replication.
struct Follower {
  std::string name;           ///< its application_name
  std::uint64_t flushed = 0;  ///< 0: not known yet
};

struct PostgresView {
  bool in_recovery = true;
  std::string lsn;  ///< own position: written on a primary; received, else replayed, on a standby
  bool has_rule = false;
  clustermetadata::RulePosition rule;

  std::string archive_fails_at;  ///< the segment at which archiving fails now; empty: it works, or there is none

  // Primary.
  std::vector<Follower> followers;
  std::string synchronous_standby_names;
  std::string synchronous_commit;
  int max_wal_senders = 0;
  bool checkpointed = false;  ///< the last checkpoint is on the present timeline: safe to rewind from

  // Standby.
  std::string replay_lsn;
  std::string receive_lsn;
  bool replay_paused = false;
  std::string pause_state;
  std::string last_xact_replay;
  std::string primary_conninfo;
  std::string receiver_status;  ///< empty: no WAL receiver
  double last_message = 0;      ///< Unix seconds of the last message from the primary; 0: none
  int receiver_status_interval_s = 0;
  int receiver_timeout_ms = 0;
  double receive_advanced = 0;  ///< Unix seconds of the reading that first showed receive_lsn; 0: not seen to advance
  double heartbeat = 0;         ///< Unix seconds of the leader's last heartbeat that has been replayed; 0: none
  double read_at = 0;           ///< Unix seconds of this reading, by this machine's clock
};

/// Fills in what only two readings together show. `before`: the last one, if any.
void ComeAfter(const std::optional<PostgresView>& before, PostgresView* view);

absl::StatusOr<PostgresView> ReadView(pgsql::Connection& connection, absl::Time deadline);

/// Of the rule's cohort: the leader `self`, and those that streamed from it then.
std::vector<clustermetadata::ID> PresentMembers(const PostgresView& view, const clustermetadata::ID& self);

}  // namespace mg::multipooler
