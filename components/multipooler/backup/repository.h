/// The backups of one shard, whichever program made them. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "components/multipooler/backup/engine.h"
#include "components/multipooler/backup/timelines.h"

namespace mg::multipooler::backup {

class Repository {
 public:
  /// `location` is the database's backup location; the shard's place is below it.
  Repository(const std::string& location, const clustermetadata::ShardKey& shard, Server server);

  const std::string& path() const { return path_; }
  /// The program that the next backup is made with: pgBackRest where it is installed and the server's `archive_mode`
  /// suits it.
  const Engine& preferred(const std::string& archive_mode) const { return *Preferred(archive_mode); }

  /// Makes a backup. ABORTED when another one, or an expiry, is under way in this repository.
  absl::StatusOr<multipoolermanagerdata::BackupMetadata> Take(const TakeRequest& request,
                                                              const std::string& archive_mode, absl::Time deadline,
                                                              const std::atomic<bool>* cancelled);
  /// Of all programs, newest first. Status UNKNOWN: of a program that is not installed here.
  absl::StatusOr<std::vector<multipoolermanagerdata::BackupMetadata>> List(absl::Time deadline);
  /// `overrides` as upstream has them: repo1_retention_full. More is kept where else no backup would lead to the
  /// present data. The names of what was removed.
  absl::StatusOr<std::vector<std::string>> Expire(const std::map<std::string, std::string>& overrides,
                                                  absl::Time deadline, const std::atomic<bool>* cancelled);
  absl::StatusOr<std::string> Verify(absl::Time deadline, const std::atomic<bool>* cancelled);
  /// The newest complete one for an empty name. NOT_FOUND.
  absl::StatusOr<multipoolermanagerdata::BackupMetadata> Find(const std::string& backup_id, absl::Time deadline);
  /// As timelines.h's, for a backup that was found here.
  absl::StatusOr<std::vector<std::string>> WaysTo(const multipoolermanagerdata::BackupMetadata& backup,
                                                  const Wish& wish, absl::Time deadline);
  absl::Status Restore(const RestoreRequest& request, absl::Time deadline, const std::atomic<bool>* cancelled);

 private:
  Engine* Preferred(const std::string& archive_mode) const;
  absl::StatusOr<Engine*> OwnerOf(const std::string& backup_id) const;

  std::vector<multipoolermanagerdata::BackupMetadata> Unreadable() const;
  std::string NewestLeading(const std::vector<multipoolermanagerdata::BackupMetadata>& newest_first,
                            absl::Time deadline);
  static int RetentionFor(const std::string& backup_id, const Engine& engine,
                          const std::vector<multipoolermanagerdata::BackupMetadata>& newest_first);
  absl::Status VerifyWal(Engine* engine, absl::Time deadline);

  const std::string path_;
  const std::uint64_t segment_size_;              ///< of this pooler's server, bytes
  std::vector<std::unique_ptr<Engine>> engines_;  ///< the preferred one first
};

/// pgBackRest or pg_basebackup, by the name of a backup.
std::string EngineName(const std::string& backup_id);

}  // namespace mg::multipooler::backup
