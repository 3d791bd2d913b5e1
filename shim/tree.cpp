#include "shim/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/fs/unique_fd.h"

namespace mg::shim {
namespace {

struct Stat {
  char state = 0;
  pid_t parent = 0;
  std::uint64_t start_ticks = 0;
  bool is_shim = false;
};

bool ReadStat(pid_t pid, Stat* out) {
  char path[64], text[1024];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  ssize_t n = fd.valid() ? ::read(fd.get(), text, sizeof text - 1) : -1;
  if (n <= 0) {
    return false;
  }
  text[n] = '\0';
  const char* name = std::strchr(text, '(');
  // The name may hold blanks and parentheses; what follows the last ')' is regular.
  const char* at = std::strrchr(text, ')');
  int parent = 0;
  if (name == nullptr || at == nullptr || std::sscanf(at + 1, " %c %d", &out->state, &parent) != 2) {
    return false;
  }
  out->parent = parent;
  out->is_shim = std::strncmp(name, "(shim ", 6) == 0 || std::strncmp(name, "(multigres-shim)", 16) == 0;
  // Field 3 is two characters behind the ')'; field 22 is 19 blanks further on.
  at += 2;
  for (int field = 3; field < 22; ++field) {
    at = std::strchr(at, ' ');
    if (at == nullptr) {
      return false;
    }
    ++at;
  }
  out->start_ticks = std::strtoull(at, nullptr, 10);
  return true;
}

bool HasChildren() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace

std::uint64_t StartTicks(pid_t pid) {
  Stat stat;
  return ReadStat(pid, &stat) ? stat.start_ticks : 0;
}

std::vector<Process> Descendants() {
  if (!HasChildren()) {
    return {};
  }
  struct Entry {
    Process process;
    pid_t parent;
  };
  std::vector<Entry> all;
  DIR* proc = ::opendir("/proc");
  while (dirent* entry = proc != nullptr ? ::readdir(proc) : nullptr) {
    Stat stat;
    pid_t pid = static_cast<pid_t>(std::atoi(entry->d_name));
    if (pid > 0 && ReadStat(pid, &stat) && stat.state != 'Z' && stat.state != 'X' && !stat.is_shim) {
      all.push_back({{pid, stat.start_ticks}, stat.parent});
    }
  }
  if (proc != nullptr) {
    ::closedir(proc);
  }
  std::vector<Process> tree = {{::getpid(), 0}};
  for (size_t i = 0; i < tree.size(); ++i) {
    for (const Entry& entry : all) {
      if (entry.parent == tree[i].pid) {
        tree.push_back(entry.process);
      }
    }
  }
  tree.erase(tree.begin());
  return tree;
}

void SignalTree(int signal) {
  for (const Process& process : Descendants()) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    // Compared after the open: from here on the descriptor names this process for ever.
    if (fd.valid() && StartTicks(process.pid) == process.start_ticks) {
      ::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0);
    }
  }
}

}  // namespace mg::shim
