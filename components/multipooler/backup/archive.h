/// The archive of WAL: a script in the repository that PostgreSQL's archive_command calls, so that what is to be done
/// with a segment can change without a reload of any server.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace mg::multipooler::backup {

/// The value of archive_command: nothing is kept, and nothing accumulates, until the repository has its script.
/// (pgBackRest insists on its name in it.)
std::string ArchiveCommand(const std::string& repository);

/// The value of restore_command for the archive of our own.
std::string RestoreCommand(const std::string& repository);

/// Writes the script, owned by `owner` (empty: this process's own user). It copies each segment into `wal/` when there
/// are backups of our own, and gives it to pgBackRest when that has a stanza here. Each node of a shard archives, so a
/// segment is often there already: it is a success when both are the same as far as their timeline goes. Where even
/// that differs, the primary's is kept under the name, and the other one beside it (`NAME.other-CHECKSUM`): nothing
/// that the nodes can disagree about stops a node's archiving. A pgBackRest that is no longer installed stops it only
/// where there are no backups of our own.
absl::Status WriteArchiveScript(const std::string& repository, const std::string& owner);
/// The same with a pgBackRest at that path.
absl::Status WriteArchiveScriptFor(const std::string& repository, const std::string& owner,
                                   const std::string& pgbackrest);

/// `text` as one word of sh.
std::string ShellQuote(const std::string& text);

}  // namespace mg::multipooler::backup
