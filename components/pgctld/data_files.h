/// What is on disk and in /proc for one data directory: the postmaster's pid file, processes that work in it, leftovers
/// of a PostgreSQL that was killed. Any thread; blocking.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "components/pgctld/options.h"

namespace mg::pgctld {

/// Gives a path to PostgreSQL's user when there is one. Needs root then.
absl::Status GiveToUser(const std::string& path, const std::string& user);

/// What postmaster.pid says. Facts: PostgreSQL's pidfile.h.
struct PidFile {
  pid_t pid = 0;       ///< 0: no such file, or unreadable
  std::string status;  ///< starting, stopping, ready, standby (up, takes no connections); written by the postmaster
};
PidFile ReadPidFile(const std::string& data_dir);

/// Live PostgreSQL processes that work in this data directory: each has it as its working directory.
std::vector<pid_t> ProcessesInDirectory(const std::string& data_dir);

/// The data directory belongs to the user that PostgreSQL is to run as, and is closed to others (0700 is set).
absl::Status CheckOwner(const Options& options);

/// Makes sure that nobody uses the data directory, then removes the pid file and the socket with its lock file that a
/// killed PostgreSQL left. Backends that outlive their postmaster for a moment are waited for. FAILED_PRECONDITION
/// with the holder's pid.
absl::Status ClearLeftovers(const Options& options, absl::Time deadline);

/// Why PostgreSQL's user cannot come to `path`: the first directory above it that it may not enter. Empty: it can, as
/// far as modes tell.
std::string ClosedDirectoryAbove(const std::string& path, const std::string& user);

}  // namespace mg::pgctld
