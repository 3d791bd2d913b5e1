/// PostgreSQL's restore_command under a wrapper that leaves its pid, so that a long one can be ended. Names and
/// meaning: the manager contract, section 4.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::pgctld {

/// `<pidfile> -- <command…>`: writes this process's pid and becomes the command. Returns only on error.
absl::Status RunRestoreCommand(const std::vector<std::string>& arguments);

/// Ends the one that the pid file names: SIGTERM, after a grace SIGKILL. False: none runs (no file, or its process is
/// gone; a number that another process has by now counts as gone).
absl::StatusOr<bool> EndRestoreCommand(const std::string& pid_file);

}  // namespace mg::pgctld
