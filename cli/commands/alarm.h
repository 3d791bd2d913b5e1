/// The end of a stream that would go on by itself: while nothing comes, nothing else ends it. For commands' .cpp files.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/client/agent_client.h"

namespace mg::cli {

/// Cancels the client's calls at a time, unless it is destroyed before; `when` may be infinite. The client outlives it.
class Alarm {
 public:
  Alarm(AgentClient* client, absl::Time when)
      : thread_([this, client, when] {
          std::unique_lock lock(mutex_);
          const auto over = [this] { return over_; };
          if (when == absl::InfiniteFuture()) {
            changed_.wait(lock, over);
          } else if (!changed_.wait_until(lock, absl::ToChronoTime(when), over)) {
            rang_ = true;
            client->Cancel();
          }
        }) {}
  ~Alarm() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  bool rang() const { return rang_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::atomic<bool> rang_ = false;
  std::thread thread_;
};

}  // namespace mg::cli
