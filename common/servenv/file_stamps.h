/// Whether files are still those that were read.
#pragma once

#include <sys/stat.h>

#include <array>
#include <string>
#include <vector>

namespace mg::servenv {

/// For one thread.
class FileStamps {
 public:
  explicit FileStamps(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  /// Whether one of them was written or replaced since the last time that this was asked. The first time: true.
  bool Changed() {
    std::vector<Stamp> now;
    for (const std::string& path : paths_) {
      struct stat status {};
      bool there = ::stat(path.c_str(), &status) == 0;
      now.push_back(
          there ? Stamp{static_cast<long>(status.st_ino), status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec}
                : Stamp{});
    }
    bool changed = now != seen_;
    seen_ = std::move(now);
    return changed;
  }

 private:
  using Stamp = std::array<long, 4>;
  const std::vector<std::string> paths_;
  std::vector<Stamp> seen_;
};

}  // namespace mg::servenv
