/// Threads for calls that block for a moment, so that gRPC's own never do. They come on demand, up to a bound, and go
/// when there was nothing to do for a while: an idle agent has none. Any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace mg::rpc {

class WorkerPool {
 public:
  explicit WorkerPool(size_t most) : most_(most) {}
  /// Runs what is still queued, then ends.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  void Run(std::function<void()> task);

 private:
  void Work(std::list<std::thread>::iterator self);

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::list<std::thread> live_;
  std::list<std::thread> ended_;  ///< to be joined
  size_t idle_ = 0;
  bool stop_ = false;
};

}  // namespace mg::rpc
