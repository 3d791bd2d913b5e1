#include "agentd/rpc/worker_pool.h"

#include <chrono>
#include <utility>

namespace mg::rpc {
namespace {

constexpr std::chrono::seconds kIdleLife(5);

}  // namespace

WorkerPool::~WorkerPool() {
  std::list<std::thread> threads;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return live_.empty(); });
    threads.swap(ended_);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

void WorkerPool::Run(std::function<void()> task) {
  std::list<std::thread> ended;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ended.swap(ended_);
    queue_.push_back(std::move(task));
    if (queue_.size() <= idle_ || live_.size() >= most_) {
      changed_.notify_one();
    } else {
      auto self = live_.emplace(live_.end());
      *self = std::thread(&WorkerPool::Work, this, self);
    }
  }
  for (std::thread& thread : ended) {
    thread.join();
  }
}

void WorkerPool::Work(std::list<std::thread>::iterator self) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait_for(lock, kIdleLife, [&] { return stop_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) {
      break;  // the end, or nothing to do for a while
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
  ended_.splice(ended_.end(), live_, self);
  changed_.notify_all();
}

}  // namespace mg::rpc
