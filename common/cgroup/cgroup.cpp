#include "common/cgroup/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace mg::cgroup {
namespace {

constexpr char kPrefix[] = "multigres-";
constexpr time_t kYoungest = 10;  // seconds: its shim may be about to enter it
constexpr int kKillBound = 1000;  // ms, for what an earlier run left

std::string ReadSmall(const std::string& path) {
  char buffer[4096];
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? ::read(fd, buffer, sizeof buffer) : -1;
  if (fd >= 0) {
    ::close(fd);
  }
  return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
}

bool WriteWord(const std::string& path, const char* word) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  bool written = fd >= 0 && ::write(fd, word, 1) == 1;
  if (fd >= 0) {
    ::close(fd);
  }
  return written;
}

std::string Mount() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs info {};
    if (::statfs(path, &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC) {
      return path;
    }
  }
  return "";
}

/// Of this process, below the mount: "0::<path>".
std::string OwnPath() {
  std::string text = ReadSmall("/proc/self/cgroup");
  size_t at = text.rfind("0::", 0) == 0 ? 0 : text.find("\n0::");
  if (at == std::string::npos) {
    return "";
  }
  at = text.find("::", at) + 2;
  return text.substr(at, text.find('\n', at) - at);
}

std::string LastOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool Delegated(const std::string& directory) {
  char value = 0;
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    if (::getxattr(directory.c_str(), name, &value, 1) == 1 && value == '1') {
      return true;
    }
  }
  return ::access("/run/systemd/system", F_OK) != 0;
}

std::int64_t Milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

/// Until nobody is in it; the kernel tells of the change.
bool WaitEmpty(const std::string& group, int milliseconds) {
  std::string path = group + "/cgroup.events";
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return errno == ENOENT;
  }
  bool empty = false;
  for (std::int64_t end = Milliseconds() + milliseconds;;) {
    char buffer[256];
    ssize_t n = ::pread(fd, buffer, sizeof buffer - 1, 0);
    empty = n >= 0 && std::string(buffer, static_cast<size_t>(n)).find("populated 0") != std::string::npos;
    std::int64_t left = end - Milliseconds();
    if (empty || left <= 0) {
      break;
    }
    pollfd wait = {.fd = fd, .events = POLLPRI, .revents = 0};
    (void)::poll(&wait, 1, static_cast<int>(left));
  }
  ::close(fd);
  return empty;
}

}  // namespace

bool InComponent() { return LastOf(OwnPath()).rfind(kPrefix, 0) == 0; }

std::string FindBase() {
  std::string mount = Mount(), own = OwnPath();
  if (mount.empty() || own.empty() || own.find("/..") != std::string::npos) {
    return "";
  }
  if (LastOf(own).rfind(kPrefix, 0) == 0) {
    own.erase(own.rfind('/'));
  }
  std::string base = own == "/" ? mount : mount + own;
  return ::access(base.c_str(), W_OK | X_OK) == 0 && Delegated(base) ? base : "";
}

std::string Make(const std::string& base, const std::string& run_dir) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (char c : run_dir) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  char name[40];
  std::snprintf(name, sizeof name, "/%s%016llx", kPrefix, static_cast<unsigned long long>(hash));
  std::string group = base + name;
  // A group that was killed once is not used again: some kernels kill whoever is forked into it later, too.
  if (base.empty() || !KillAndRemove(group, kKillBound) || ::mkdir(group.c_str(), 0755) != 0) {
    return "";
  }
  bool usable = ::access((group + "/cgroup.kill").c_str(), W_OK) == 0;
  if (!usable) {
    (void)::rmdir(group.c_str());
  }
  return usable ? group : "";
}

bool Enter(const std::string& directory) { return WriteWord(directory + "/cgroup.procs", "0"); }

void Kill(const std::string& group) {
  if (!group.empty()) {
    (void)WriteWord(group + "/cgroup.kill", "1");
  }
}

bool KillAndRemove(const std::string& group, int milliseconds) {
  if (group.empty()) {
    return true;
  }
  Kill(group);
  return WaitEmpty(group, milliseconds) && (::rmdir(group.c_str()) == 0 || errno == ENOENT);
}

std::vector<std::string> Abandoned(const std::string& base) {
  std::vector<std::string> found;
  DIR* directory = base.empty() ? nullptr : ::opendir(base.c_str());
  while (dirent* entry = directory != nullptr ? ::readdir(directory) : nullptr) {
    std::string name = entry->d_name;
    std::string group = base + "/" + name;
    struct stat info {};
    if (name.rfind(kPrefix, 0) == 0 && ::stat(group.c_str(), &info) == 0 &&
        ::time(nullptr) - info.st_mtime > kYoungest && WaitEmpty(group, 0)) {
      found.push_back(group);
    }
  }
  if (directory != nullptr) {
    ::closedir(directory);
  }
  return found;
}

}  // namespace mg::cgroup
