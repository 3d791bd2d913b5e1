#include "components/pgctld/walsenders.h"

#include <csignal>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/process/process_id.h"
#include "components/pgctld/data_files.h"

namespace mg::pgctld {
namespace {

std::string TitleOf(pid_t pid) {
  absl::StatusOr<std::string> title = ReadFile(absl::StrCat("/proc/", pid, "/cmdline"));
  return title.ok() ? *std::move(title) : "";  // it has just ended
}

bool IsWalSender(const std::string& title) { return absl::StrContains(title, "walsender"); }

// It lets the walsenders come to their last position before it begins the last checkpoint, as its title says then. One
// whose connection takes nothing more does not come to it.
bool IsIdleCheckpointer(const std::string& title) {
  return absl::StrContains(title, "checkpointer") && !absl::StrContains(title, "performing");
}

}  // namespace

bool WalSenderWatch::Stuck(absl::Time now, absl::Duration patience) {
  pid_t postmaster = ReadPidFile(data_dir_).pid;
  std::map<int, std::string> titles;  // each walsender's ends with the position that was sent
  bool others = false;
  for (pid_t pid : ProcessesInDirectory(data_dir_)) {
    if (pid == postmaster) {
      continue;
    }
    std::string title = TitleOf(pid);
    if (IsWalSender(title)) {
      titles[pid] = std::move(title);
    } else {
      others |= !title.empty() && !IsIdleCheckpointer(title);
    }
  }
  if (others || titles.empty() || titles != titles_) {
    since_ = now;
  }
  titles_ = std::move(titles);
  return now - since_ >= patience;
}

void EndWalSenders(const std::string& data_dir) {
  for (pid_t pid : ProcessesInDirectory(data_dir)) {
    absl::StatusOr<ProcessId> process = IdentifyProcess(pid);
    if (process.ok() && IsWalSender(TitleOf(pid))) {
      log::Warn("ending a walsender that holds up the shutdown", {{"pid", pid}});
      (void)SignalProcess(*process, SIGTERM);  // it may just have ended
    }
  }
}

}  // namespace mg::pgctld
