#include "agentd/provisioners/local/faults/process_tree.h"

#include <dirent.h>

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/shim_protocol/shim.h"

namespace mg::local {
namespace {

std::vector<pid_t> NumbersIn(const std::string& directory) {
  std::vector<pid_t> numbers;
  DIR* dir = ::opendir(directory.c_str());
  while (dirent* item = dir != nullptr ? ::readdir(dir) : nullptr) {
    pid_t number = 0;
    if (absl::SimpleAtoi(item->d_name, &number)) {
      numbers.push_back(number);
    }
  }
  if (dir != nullptr) {
    ::closedir(dir);
  }
  return numbers;
}

}  // namespace

std::vector<pid_t> TreeOf(const std::vector<pid_t>& roots) {
  std::vector<pid_t> tree;
  std::set<pid_t> known;
  auto add = [&](pid_t pid) {
    if (known.insert(pid).second) {
      tree.push_back(pid);
    }
  };
  std::for_each(roots.begin(), roots.end(), add);
  for (size_t i = 0; i < tree.size(); ++i) {
    const std::string tasks = absl::StrCat("/proc/", tree[i], "/task");
    // A thread that forks is the parent in this file, not its process.
    for (pid_t thread : NumbersIn(tasks)) {
      absl::StatusOr<std::string> children = ReadFile(absl::StrCat(tasks, "/", thread, "/children"));
      if (!children.ok()) {
        continue;  // it ended meanwhile
      }
      for (absl::string_view word : absl::StrSplit(*children, ' ', absl::SkipEmpty())) {
        pid_t child = 0;
        if (absl::SimpleAtoi(word, &child)) {
          add(child);
        }
      }
    }
  }
  return tree;
}

Roots::Roots(const google::protobuf::RepeatedPtrField<multigres::state::v1::FaultProcess>& processes) {
  for (const auto& process : processes) {
    roots_.push_back({.id = {.pid = process.pid(), .start_ticks = process.start_ticks(), .boot_id = BootId()},
                      .run_dir = process.run_dir()});
  }
}

std::vector<pid_t> Roots::Alive() {
  std::vector<pid_t> alive;
  for (Root& root : roots_) {
    if (!root.id.valid() || !IsAlive(root.id)) {
      shim::ShimState state = shim::ReadShimState(root.run_dir);
      root.id = state.child_alive && state.child ? *state.child : ProcessId{};
    }
    if (root.id.valid()) {
      alive.push_back(root.id.pid);
    }
  }
  return alive;
}

}  // namespace mg::local
