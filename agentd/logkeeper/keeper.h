/// Keeps the log directories of clusters small: compresses what their shims have rotated, and removes the oldest files
/// of a cluster that has more than it may have. Its thread sleeps until a file is rotated (inotify), and looks at
/// everything once in a while. The files that are written to are never touched. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/fs/unique_fd.h"

namespace mg::logs {

class Keeper {
 public:
  /// The logs of one cluster: every directory with a current.log at or below `root`.
  struct Place {
    std::string root;
    std::uint64_t max_bytes = 0;  ///< of all files together; 0: any
  };
  /// Called on the keeper's thread, whenever it looks at everything.
  using List = std::function<std::vector<Place>()>;

  explicit Keeper(List list);
  /// Ends the thread; a file that is being compressed is finished first.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

 private:
  void Run();
  void Sweep();
  void Wait();

  const List list_;
  UniqueFd stop_, watch_;
  std::atomic<bool> stopping_ = false;
  bool first_ = true;
  std::string last_trouble_;  ///< the same is told once
  std::thread thread_;
};

/// Compresses the rotated files below a cluster's log directory, oldest first, and removes the oldest ones until all
/// files together have at most `max_bytes`. What went wrong, for people; empty: nothing.
std::string KeepLogs(const std::string& root, std::uint64_t max_bytes, const std::atomic<bool>& stop);

}  // namespace mg::logs
