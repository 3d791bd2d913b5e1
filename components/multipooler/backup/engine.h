/// What makes and reads backups of one shard. Two programs can: pgBackRest where it is installed, else pg_basebackup
/// with an archive of WAL of our own. A backup's name says which one made it.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multipooler::backup {

/// The PostgreSQL of this pooler. A value.
struct Server {
  std::string data_directory;    ///< PGDATA
  std::string socket_directory;  ///< of its Unix socket
  int port = 0;
  std::string superuser;
  std::string passfile;    ///< libpq's password file, readable by `run_as`
  std::string run_as;      ///< user of PostgreSQL's programs; empty: this process's own
  int postgres_major = 0;  ///< for the choice of programs; 0: the newest
};

/// The shard's primary, when the copied server is a standby on the same machine. pgBackRest needs both.
struct Primary {
  std::string data_directory;
  std::string socket_directory;
  int port = 0;
};

/// What is asked of a backup.
struct TakeRequest {
  std::string type;  ///< full, differential or incremental
  std::string job_id;
  clustermetadata::ShardKey shard;
  std::string pooler_name;  ///< id's name of the pooler that makes it
  clustermetadata::RoutingRole role = clustermetadata::ROUTING_ROLE_UNKNOWN;
  std::optional<Primary> primary;
};

/// What is asked of a restore.
struct RestoreRequest {
  std::string backup_id;
  absl::Time target_time = absl::InfiniteFuture();  ///< replay up to here; InfiniteFuture: all there is
  std::string timeline = "latest";                  ///< recovery_target_timeline: one of timelines.h's ways
  std::string reach_lsn;  ///< that recovery must get to on the newest timeline; empty: it is not known
  bool standby = false;   ///< as a standby that goes on; else its log is ended and a new timeline begun
  std::string directory;  ///< made; must not exist
};

/// One at a time for each repository (the caller holds its lock), except List, which may be called at any time.
/// Blocking, until `deadline` or until `*cancelled`.
class Engine {
 public:
  virtual ~Engine() = default;

  /// pgBackRest or pg_basebackup.
  virtual std::string name() const = 0;
  /// Whether it made the backup of this name.
  virtual bool Owns(const std::string& backup_id) const = 0;
  /// Whether a server with this archive_mode keeps what its backups need.
  virtual bool CanUse(const std::string& archive_mode) const = 0;
  /// INVALID_ARGUMENT for a type that it cannot make; FAILED_PRECONDITION where it cannot copy this server.
  virtual absl::StatusOr<multipoolermanagerdata::BackupMetadata> Take(const TakeRequest& request, absl::Time deadline,
                                                                      const std::atomic<bool>* cancelled) = 0;
  /// Newest first.
  virtual absl::StatusOr<std::vector<multipoolermanagerdata::BackupMetadata>> List(absl::Time deadline) = 0;
  /// The timeline on which a backup ended.
  virtual absl::StatusOr<int> TimelineOf(const std::string& backup_id, absl::Time deadline) = 0;
  /// Removes all but the newest `retention_full` full backups, what depends on the removed ones, and WAL that nothing
  /// needs any more.
  virtual absl::Status Expire(int retention_full, absl::Time deadline, const std::atomic<bool>* cancelled) = 0;
  /// Directories in which recovery from its backups finds WAL.
  virtual std::vector<std::string> WalDirectories() const = 0;
  /// Reads every backup and compares checksums. The output is for a person; an error when one is damaged.
  virtual absl::StatusOr<std::string> Verify(absl::Time deadline, const std::atomic<bool>* cancelled) = 0;
  /// Fills `request.directory` with a data directory that is ready to be started. What was made is removed on error.
  virtual absl::Status Restore(const RestoreRequest& request, absl::Time deadline,
                               const std::atomic<bool>* cancelled) = 0;
};

}  // namespace mg::multipooler::backup
