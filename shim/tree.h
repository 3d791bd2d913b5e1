/// The process tree below this shim: it is the subreaper, so that nobody leaves the tree by a double fork or a session
/// of its own. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace mg::shim {

/// One process at one time: a pid alone may have passed to another between the look and the signal.
struct Process {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/<pid>/stat
};

/// Start time of a process; 0: gone.
std::uint64_t StartTicks(pid_t pid);

/// Every live descendant. What another shim holds (PostgreSQL, which pgctld launches) is no part of this tree, and
/// neither is that shim: it must outlive the component that launched it.
std::vector<Process> Descendants();

/// Sends a signal to every live descendant, to none by its pid alone.
void SignalTree(int signal);

}  // namespace mg::shim
