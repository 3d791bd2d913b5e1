/// Backups by pg_basebackup, with an archive of WAL beside them. In the repository:
///
///     base/<name>/data/          a data directory as pg_basebackup made it
///     base/<name>/backup.json    what is known of it (BackupMetadata)
///     base/.part-<name>/         one under way, or what an interrupted one left
///     wal/                       segments of WAL
#pragma once

#include <memory>
#include <string>

#include "components/multipooler/backup/engine.h"

namespace mg::multipooler::backup {

std::unique_ptr<Engine> MakeBaseBackups(std::string repository, Server server);

/// The facts of a copy that pg_basebackup has made: where its WAL starts and ends, the segment from which it is needed,
/// and the timeline on which it ends.
struct CopyFacts {
  std::string start_lsn, stop_lsn, first_segment;
  int timeline = 0;
};
/// From the contents of backup_label and backup_manifest. DATA_LOSS when they do not say it.
absl::StatusOr<CopyFacts> ReadCopyFacts(const std::string& backup_label, const std::string& manifest);

}  // namespace mg::multipooler::backup
