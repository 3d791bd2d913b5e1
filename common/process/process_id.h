/// Identity of a process across time: a pid alone is reused, pid + start time + boot id is not. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/fs/unique_fd.h"

namespace mg {

/// Names one process for ever. Comparable; default-constructed it names none.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/<pid>/stat: clock ticks after boot
  std::string boot_id;            ///< /proc/sys/kernel/random/boot_id

  bool operator==(const ProcessId&) const = default;
  bool valid() const { return pid > 0; }
};

/// This boot's id. Read once.
const std::string& BootId();

/// Identity of the process that has this pid now. NOT_FOUND when there is none, or when the number is only a thread's
/// id.
absl::StatusOr<ProcessId> IdentifyProcess(pid_t pid);

/// The very same process still runs (a zombie does not).
bool IsAlive(const ProcessId& id);

/// It was stopped by a signal (SIGSTOP and its kin) or by a tracer, and runs no instruction now.
bool IsStopped(const ProcessId& id);

/// Waits for exactly this process if it is an ended child of the calling one, so that no zombie stays; else does
/// nothing. Never blocks, and never takes another child's end away from whoever waits for that.
void ReapIfOurs(const ProcessId& id);

/// A pidfd for exactly this process: opened, then verified. NOT_FOUND when it is gone.
absl::StatusOr<UniqueFd> OpenPidfd(const ProcessId& id);

/// Sends a signal to exactly this process (by pidfd). NOT_FOUND when it is gone.
absl::Status SignalProcess(const ProcessId& id, int signal);

/// Seconds since the process started; negative when unknown.
double UptimeSeconds(const ProcessId& id);

/// Short name (comm) of a process; empty when it is gone.
std::string ProcessName(pid_t pid);

}  // namespace mg
