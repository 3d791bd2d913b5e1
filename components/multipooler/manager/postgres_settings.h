/// Settings that the manager owns in postgresql.auto.conf, and the waits that go with them. Blocking; on a connection
/// that the caller owns.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/fs/owner.h"
#include "common/pgsql/connection.h"
#include "components/multipooler/manager/config.h"

namespace mg::multipooler {

/// A setting and its value; nullopt takes it out of the file.
using Setting = std::pair<std::string, std::optional<std::string>>;

/// ALTER SYSTEM for those that differ, then a reload that this session has seen. Nothing to change: no reload.
absl::Status ApplySettings(pgsql::Connection& connection, const std::vector<Setting>& settings, absl::Time deadline);

/// The same in the file of a server that does not run. `owner` as in Config::run_as.
absl::Status EditAutoConf(const std::string& data_directory, const std::vector<Setting>& settings,
                          const std::string& owner);

/// Waits until the checkpointer has taken over the settings: it, not the committing session, decides whether commits
/// wait for standbys at all.
absl::Status WaitForCheckpointer(pgsql::Connection& connection, absl::Time deadline);

/// Waits, on a standby without primary_conninfo, until the receiver has ended and everything that is in pg_wal is
/// replayed.
absl::Status WaitForReplay(pgsql::Connection& connection, absl::Time deadline);

/// Waits until a server that was started on restored data has replayed what it should and takes writes. CANCELLED once
/// `stop` is true.
absl::Status WaitForEndOfRecovery(pgsql::Connection& connection, const std::atomic<bool>& stop, absl::Time deadline);

/// Waits until this segment and all before it are archived. DEADLINE_EXCEEDED with what archiving fails at.
absl::Status WaitForArchive(pgsql::Connection& connection, const std::string& segment, absl::Time deadline);

/// Waits until a standby receives WAL from its primary.
absl::Status WaitForStream(pgsql::Connection& connection, absl::Time deadline);

/// Waits until enough cohort members have flushed `lsn` for `rule`'s policy.
absl::Status WaitForAcknowledgement(pgsql::Connection& connection, const clustermetadata::ShardRule& rule,
                                    const clustermetadata::ID& self, const std::string& lsn, absl::Time deadline);

/// primary_conninfo towards a peer: never a password, its file instead.
std::string PrimaryConninfo(const Config& config, const std::string& host, int port);

/// Writes the standbys' password file for PostgreSQL's user.
absl::Status WriteReplicationPassfile(const Config& config);

}  // namespace mg::multipooler
