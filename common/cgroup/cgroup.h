/// A control group (version 2) for one component's process tree, where the machine allows one: it is killed as a whole
/// in one step, also by somebody else than its shim, and nobody leaves it. No controller is enabled. Where there is no
/// group, everything here does nothing, and the tree below the shim is what is known. Blocking; any thread. No
/// dependency, so that the shim can use it.
#pragma once

#include <string>
#include <vector>

namespace mg::cgroup {

/// Directory in which this process may make groups: its own group's, or, in a component's group, the one above. Empty:
/// none; a group is made only where systemd delegated the place or there is no systemd, and the kernel can kill groups.
std::string FindBase();
/// This process is in the group of a component (one that launches components of its own).
bool InComponent();

/// Makes the group for a run directory, or takes the one that is left of it after killing what is in it. Empty: it
/// cannot be made.
std::string Make(const std::string& base, const std::string& run_dir);
/// Moves this process there; false: it cannot be.
bool Enter(const std::string& directory);

/// Everything in it gets SIGKILL.
void Kill(const std::string& group);
/// Kills what is in it, waits until that is gone (at most `milliseconds`) and removes it. Gone already is success.
bool KillAndRemove(const std::string& group, int milliseconds);
/// Groups for components below `base` that nobody is in and that are older than some seconds: a shim that was killed
/// could not remove its own.
std::vector<std::string> Abandoned(const std::string& base);

}  // namespace mg::cgroup
