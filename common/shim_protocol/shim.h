/// What the agent (and pgctld, for PostgreSQL) and a multigres-shim say to each other. Files are the truth, the socket
/// is only speed. One run directory per component:
///
/// - `<run_dir>/launch` (intent): what to run, generation. By the launcher, fsynced before the spawn.
/// - `<run_dir>/identity`: ProcessId of shim and child. By the shim, once the child has exec'd.
/// - `<run_dir>/exit` (outcome): how and when the child ended. By the shim, fsynced before the event is sent.
/// - `<run_dir>/launch.lock`: flocked from before the intent until the shim's end.
/// - `<run_dir>/control.sock`: the shim's control socket (0600).
/// - `<log_dir>/current.log`: the child's output in CRI format; rotated to `<log_dir>/<UTC time>.log`, which the agent
///   compresses to `<UTC time>.log.zst` (common/logs/log_file.h).
/// - `<log_dir>/runs`: when its runs began (common/shim_record/runs.h).
///
/// Every file starts with a version and ends with a checksum; readers skip unknown fields. A shim that is asked to run
/// the same directory while its child lives refuses, so there is never a second copy. A shim that is killed takes its
/// child along (SIGKILL by the kernel; PostgreSQL's own processes see the postmaster's death by themselves). Any
/// thread; calls block, each within the given bound.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/process/process_id.h"

namespace mg::shim {

/// One step of a stop: send the signal to the child (or to all of its group), then wait.
struct StopStep {
  int signal = 15;
  absl::Duration wait = absl::Seconds(5);
  bool whole_tree = false;  ///< every descendant instead of the child alone
};

/// What to run and how to keep its output.
struct LaunchSpec {
  std::string name;               ///< component's name, such as multipooler/zone1; also put into MULTIGRES_COMPONENT
  std::string run_dir;            ///< absolute; made by the caller
  std::string log_dir;            ///< absolute; made by the caller
  std::vector<std::string> argv;  ///< argv[0] is an absolute path
  std::vector<std::string> environment;     ///< the whole environment, NAME=value
  std::string working_directory;            ///< absolute
  std::string run_as;                       ///< user to change to in the child; empty: none
  std::uint64_t log_max_bytes = 16u << 20;  ///< size at which current.log is rotated
  int log_max_files = 8;                    ///< rotated files that are kept
  std::int64_t generation = 0;              ///< grows by one with each start of this component
  std::vector<StopStep> stop;               ///< done when the shim gets SIGTERM itself; empty: SIGTERM, 5 s
};

/// How the child ended.
struct ExitRecord {
  int exit_code = -1;  ///< valid when signal is 0
  int signal = 0;      ///< number of the signal that ended it; 0: none
  absl::Time started;
  absl::Time ended;
  absl::Duration ran;  ///< measured, not the difference of the two: somebody may have set the clock between them
  std::int64_t generation = 0;
};

/// What the files of a run directory say, checked against the processes that run now.
struct ShimState {
  std::optional<LaunchSpec> launch;  ///< unset: never launched, or unreadable (then `problem` says why)
  std::optional<ProcessId> shim;     ///< as recorded; see shim_alive
  std::optional<ProcessId> child;    ///< as recorded; see child_alive
  std::optional<ExitRecord> exit;    ///< only when of the launch's generation
  bool shim_alive = false;
  bool child_alive = false;
  std::string problem;  ///< what could not be read, for people; empty: nothing
};

/// Reads a run directory. Never fails for missing or broken files: they show as unset fields and in `problem`. When the
/// identity cannot be read, a shim that answers on its socket writes it anew. A shim that this process launched and
/// that has ended is waited for in passing, so that no zombie stays.
ShimState ReadShimState(const std::string& run_dir);
/// The same of each, in order: by several threads where there are many.
std::vector<ShimState> ReadShimStates(const std::vector<std::string>& run_dirs);

/// Writes the intent, spawns the shim (posix_spawn, own session, no descriptor inherited) and waits until the child has
/// exec'd. A shim whose component has ended just now is waited for; what a killed shim left of its component's tree is
/// ended. `shim_path` is the multigres-shim program. Errors: ALREADY_EXISTS when the component runs; NOT_FOUND or
/// PERMISSION_DENIED with the reason when the child's program could not be executed; DEADLINE_EXCEEDED.
absl::StatusOr<ShimState> Launch(const std::string& shim_path, const LaunchSpec& spec,
                                 absl::Duration timeout = absl::Seconds(10));

/// A connection to one running shim.
class ShimClient {
 public:
  /// UNAVAILABLE when no shim answers there.
  static absl::StatusOr<std::unique_ptr<ShimClient>> Connect(const std::string& run_dir,
                                                             absl::Duration timeout = absl::Seconds(2));
  virtual ~ShimClient() = default;

  /// Sends a signal to the child (or its whole tree) through the shim, which owns its identity.
  virtual absl::Status Signal(int signal, bool whole_tree = false) = 0;
  /// Starts the stop ladder inside the shim and returns at once; the end is seen by WaitExit. After the last step's
  /// wait the whole tree gets SIGKILL.
  virtual absl::Status Stop(const std::vector<StopStep>& ladder) = 0;
  /// Readable when news (the exit) has come; for poll and epoll. Owned by the client.
  virtual int fd() const = 0;
  /// Waits for the child's end. DEADLINE_EXCEEDED when it still runs then; UNAVAILABLE when the shim itself went away.
  virtual absl::StatusOr<ExitRecord> WaitExit(absl::Time deadline) = 0;
};

/// Stops what runs in `run_dir` by the ladder and waits until it and its shim are gone. Nothing running is success.
/// When the shim is dead but the child's recorded identity still lives, the child is signalled directly.
absl::Status StopAndWait(const std::string& run_dir, const std::vector<StopStep>& ladder);

/// Ends what a killed shim left behind of its component's tree; nothing when it runs, or saw to that itself. Returns
/// when they are gone, or after 2 s.
void EndLeftovers(const std::string& run_dir);

}  // namespace mg::shim
