/// Other programs' work ends by a flag; whoever asked for it says by a function that he has left.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace mg::multipooler {

/// Sets a flag soon after `left` says so, or `stop` is set, as long as this lives. A thread of its own asks.
class LeavingFlag {
 public:
  /// Both must outlive this; `left` is called on another thread.
  LeavingFlag(std::function<bool()> left, const std::atomic<bool>* stop);
  ~LeavingFlag();
  LeavingFlag(const LeavingFlag&) = delete;
  LeavingFlag& operator=(const LeavingFlag&) = delete;

  const std::atomic<bool>* get() const { return &flag_; }

 private:
  void Run();

  const std::function<bool()> left_;
  const std::atomic<bool>* const stop_;
  std::atomic<bool> flag_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace mg::multipooler
