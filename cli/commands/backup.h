/// What the backup commands have in common. For commands' .cpp files.
#pragma once

#include <string>

#include "absl/strings/ascii.h"
#include "cli/args/command.h"
#include "cli/commands/context.h"
#include "common/status/status.h"

namespace mg::cli {

inline constexpr char kBackupTableGroup[] = "default";  // the one that there is, in one shard
inline constexpr char kBackupShard[] = "0-inf";

inline Flag BackupDatabaseFlag() {
  return {.name = "database", .value = "NAME", .help = "the database; default: the cluster's first one"};
}

inline std::string BackupDatabase(Context& context) {
  return context.args().Has("database") ? context.args().Get("database") : context.DefaultDatabase();
}

inline absl::Status BackupUsage(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

/// `complete` of BACKUP_STATUS_COMPLETE.
inline std::string LastWordOf(const std::string& enum_name) {
  return absl::AsciiStrToLower(enum_name.substr(enum_name.rfind('_') + 1));
}

/// A message that names the shard that the flags choose.
template <typename Request>
Request OfBackupShard(Context& context) {
  Request request;
  request.set_database(BackupDatabase(context));
  request.set_table_group(kBackupTableGroup);
  request.set_shard(kBackupShard);
  return request;
}

}  // namespace mg::cli
