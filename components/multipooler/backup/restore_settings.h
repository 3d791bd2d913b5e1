/// Settings of a restored data directory.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "components/multipooler/backup/engine.h"

namespace mg::multipooler::backup {

/// Makes a directory that only `user` may enter; parents that are missing can be passed through by everybody.
absl::Status MakePrivateFor(const std::string& path, const std::string& user);

/// Settings that are of no use once recovery is over.
const std::vector<std::string>& RecoverySettings();

/// Writes recovery's settings and its signal file into a data directory that has been copied, and takes out of it what
/// belonged to the copied server's role.
absl::Status PrepareRecovery(const RestoreRequest& request, const std::string& restore_command,
                             const std::string& owner);

}  // namespace mg::multipooler::backup
