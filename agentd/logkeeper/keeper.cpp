#include "agentd/logkeeper/keeper.h"

#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/logs/compress.h"
#include "common/logs/log_file.h"

namespace mg::logs {
namespace {

constexpr int kPeriodMilliseconds = 60'000;
constexpr int kLowestPriority = 19;
constexpr int kDeepest = 3;  // <root>/<kind>/<cell>/<database>

/// Directories with logs at or below one. In the midst of a rotation there is no current.log for a moment.
void FindDirectories(const std::string& directory, int depth, std::set<std::string>* found) {
  if (Exists(JoinPath(directory, kCurrentLog))) {
    found->insert(directory);
  }
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (IsRotatedLog(entry->path().filename().string())) {
      found->insert(directory);
    }
    if (depth < kDeepest && entry->is_directory(ignored) && !entry->is_symlink(ignored)) {
      FindDirectories(entry->path().string(), depth + 1, found);
    }
  }
}

struct File {
  std::string name, directory;
  std::uint64_t size = 0;
  bool rotated = false;
};

/// All logs of the directories, oldest first by the times in their names.
std::vector<File> FindFiles(const std::set<std::string>& directories) {
  std::vector<File> files;
  for (const std::string& directory : directories) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
      std::string name = entry->path().filename().string();
      struct stat info {};
      if ((IsRotatedLog(name) || name == kCurrentLog) && ::stat(entry->path().c_str(), &info) == 0) {
        files.push_back({.name = name,
                         .directory = directory,
                         .size = static_cast<std::uint64_t>(info.st_size),
                         .rotated = name != kCurrentLog});
      }
    }
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.name < b.name; });
  return files;
}

}  // namespace

std::string KeepLogs(const std::string& root, std::uint64_t max_bytes, const std::atomic<bool>& stop) {
  std::set<std::string> directories;
  FindDirectories(root, 0, &directories);
  std::string trouble;
  auto remove_surplus = [&] {
    std::vector<File> files = FindFiles(directories);
    std::uint64_t sum = 0;
    for (const File& file : files) {
      sum += file.size;
    }
    for (const File& file : files) {
      if (max_bytes == 0 || sum <= max_bytes) {
        break;
      }
      if (file.rotated && ::unlink(JoinPath(file.directory, file.name).c_str()) == 0) {
        sum -= file.size;
      }
    }
  };
  // First, so that a cluster that is over its bound on a full disk gets the room to compress in.
  remove_surplus();
  for (const File& file : FindFiles(directories)) {
    if (stop) {
      return trouble;
    }
    if (file.rotated && !IsCompressedLog(file.name)) {
      absl::StatusOr<bool> done = CompressLog(file.directory, file.name);
      if (!done.ok()) {
        trouble = std::string(done.status().message());
      }
    }
  }
  remove_surplus();
  return trouble;
}

Keeper::Keeper(List list)
    : list_(std::move(list)),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      watch_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      thread_(&Keeper::Run, this) {}

Keeper::~Keeper() {
  stopping_ = true;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Keeper::Run() {
  // Compressing may wait; what the agent is asked may not.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLowestPriority);
  while (!stopping_) {
    Sweep();
    Wait();
  }
}

void Keeper::Sweep() {
  std::string trouble;
  for (const Place& place : list_()) {
    std::set<std::string> directories;
    FindDirectories(place.root, 0, &directories);
    for (const std::string& directory : directories) {
      // The rotation's last step, the making of the next current.log: before it, after the rename, the old file may
      // still be written to and is left alone. Where the user has no watches left, the period does it.
      (void)::inotify_add_watch(watch_.get(), directory.c_str(), IN_CREATE | IN_ONLYDIR);
      if (first_) {
        CleanUpCompression(directory);
      }
    }
    std::string failed = KeepLogs(place.root, place.max_bytes, stopping_);
    trouble = failed.empty() ? trouble : failed;
  }
  first_ = false;
  if (!trouble.empty() && trouble != last_trouble_) {
    log::Warn("a log could not be compressed; it stays as it is", {{"error", trouble}});
  }
  last_trouble_ = trouble;
  ::malloc_trim(0);
}

void Keeper::Wait() {
  pollfd fds[] = {{stop_.get(), POLLIN, 0}, {watch_.get(), POLLIN, 0}};
  ::poll(fds, 2, kPeriodMilliseconds);
  char events[4096];
  while (::read(watch_.get(), events, sizeof events) > 0) {
  }
}

}  // namespace mg::logs
