/// Backups by pgBackRest, in its own format below `pgbackrest/` of the repository. The stanza is upstream's:
/// `multigres`.
#pragma once

#include <memory>
#include <string>

#include "components/multipooler/backup/engine.h"

namespace mg::multipooler::backup {

/// Null where pgBackRest is not installed.
std::unique_ptr<Engine> FindPgBackRest(const std::string& repository, const Server& server);

/// Where it is not installed: the backups that it has made here, by the names of their directories; whether they are
/// complete is not known. Newest first.
std::vector<multipoolermanagerdata::BackupMetadata> UnreadableBackups(const std::string& repository);

/// Reads `pgbackrest info --output=json`. Backups of another shard are left out. Newest first. DATA_LOSS when it is
/// something else.
absl::StatusOr<std::vector<multipoolermanagerdata::BackupMetadata>> ParseInfo(const std::string& json);

/// The timeline on which a backup ended, of the same output.
absl::StatusOr<int> ParseTimeline(const std::string& json, const std::string& backup_id);

/// DATA_LOSS with the reason BACKUP_DAMAGED when the output of `pgbackrest verify` tells of damage: its exit status is
/// 0 all the same (2.45).
absl::Status CheckVerified(const std::string& output);

}  // namespace mg::multipooler::backup
