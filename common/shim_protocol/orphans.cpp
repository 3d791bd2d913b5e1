#include "common/shim_protocol/orphans.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/scan.h"
#include "common/shim_protocol/internal.h"
#include "common/shim_protocol/shim.h"
#include "common/shim_record/record.h"

namespace mg::shim {
namespace {

constexpr char kShimName[] = "multigres-shim";
constexpr absl::Duration kAsked = absl::Seconds(10);
constexpr absl::Duration kKilled = absl::Seconds(5);

/// The run directory that this process is a shim for, if it is one of ours whose lock file was deleted; else "".
std::string DeletedRunDirOf(pid_t pid) {
  std::string proc = absl::StrCat("/proc/", pid);
  struct stat process {
  }, lock{};
  if (::stat(proc.c_str(), &process) != 0 || process.st_uid != ::geteuid() ||
      ::stat(absl::StrCat(proc, "/fd/4").c_str(), &lock) != 0 || lock.st_nlink != 0) {
    return "";
  }
  absl::StatusOr<std::string> words = ReadFile(absl::StrCat(proc, "/cmdline"));
  if (!words.ok()) {
    return "";
  }
  std::vector<std::string> argv = absl::StrSplit(*words, '\0');
  return argv.size() > 1 && BaseName(argv[0]) == kShimName ? argv[1] : "";
}

}  // namespace

std::vector<Orphan> FindOrphans(const std::string& below) {
  std::vector<Orphan> result;
  for (pid_t pid : AllPids()) {
    std::string run_dir = DeletedRunDirOf(pid);
    if (run_dir.empty() || !(below.empty() || absl::StartsWith(run_dir, absl::StrCat(below, "/")))) {
      continue;
    }
    // Looked at again, now that it is identified: should the number have passed to another meanwhile, it is left alone.
    absl::StatusOr<ProcessId> id = IdentifyProcess(pid);
    if (id.ok() && DeletedRunDirOf(pid) == run_dir && ReadShimState(run_dir).shim != *id) {
      result.push_back({.shim = *id, .run_dir = run_dir});
    }
  }
  return result;
}

absl::Status EndOrphans(const std::vector<Orphan>& orphans) {
  for (const Orphan& orphan : orphans) {
    // NOT_FOUND: it has ended by itself, which is all that is wanted.
    (void)SignalProcess(orphan.shim, SIGTERM);
  }
  absl::Time asked = absl::Now() + kAsked;
  std::string left;
  for (const Orphan& orphan : orphans) {
    if (WaitGone(orphan.shim, asked)) {
      continue;
    }
    // Its component dies with it; what the component had started is found by its mark. Nobody else has that mark: no
    // other shim is started for the directory before this returns.
    (void)SignalProcess(orphan.shim, SIGKILL);
    absl::Time killed = absl::Now() + kKilled;
    bool gone = WaitGone(orphan.shim, killed);
    for (const ProcessId& stray : ProcessesWithEnvironment(kRunDirVariable + orphan.run_dir)) {
      (void)SignalProcess(stray, SIGKILL);
      gone = WaitGone(stray, killed) && gone;
    }
    if (!gone) {
      absl::StrAppend(&left, left.empty() ? "" : ", ", orphan.run_dir, " (pid ", orphan.shim.pid, ")");
    }
  }
  return left.empty() ? absl::OkStatus()
                      : absl::DeadlineExceededError(absl::StrCat("cannot end what was left running by ", left));
}

}  // namespace mg::shim
