#include "common/process/scan.h"

#include <dirent.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"

namespace mg {

std::vector<pid_t> AllPids() {
  std::vector<pid_t> pids;
  DIR* proc = ::opendir("/proc");
  while (dirent* item = proc != nullptr ? ::readdir(proc) : nullptr) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(item->d_name, &pid)) {
      pids.push_back(pid);
    }
  }
  if (proc != nullptr) {
    ::closedir(proc);
  }
  return pids;
}

std::vector<ProcessId> ProcessesWithEnvironment(const std::string& entry) {
  std::vector<ProcessId> result;
  std::string wanted = absl::StrCat(absl::string_view("\0", 1), entry, absl::string_view("\0", 1));
  for (pid_t pid : AllPids()) {
    if (pid == ::getpid()) {
      continue;
    }
    // Identified first: should the number pass to another meanwhile, it names nobody.
    absl::StatusOr<ProcessId> id = IdentifyProcess(pid);
    absl::StatusOr<std::string> environment = ReadFile(absl::StrCat("/proc/", pid, "/environ"));
    if (id.ok() && environment.ok() &&
        absl::StrContains(absl::StrCat(absl::string_view("\0", 1), *environment), wanted) && IsAlive(*id)) {
      result.push_back(*id);
    }
  }
  return result;
}

}  // namespace mg
