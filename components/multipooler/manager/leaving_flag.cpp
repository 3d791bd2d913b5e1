#include "components/multipooler/manager/leaving_flag.h"

#include <chrono>
#include <utility>

namespace mg::multipooler {
namespace {

constexpr std::chrono::milliseconds kLook(50);  // how soon it is noticed that nobody wants it any more

}  // namespace

LeavingFlag::LeavingFlag(std::function<bool()> left, const std::atomic<bool>* stop)
    : left_(std::move(left)), stop_(stop), thread_([this] { Run(); }) {}

LeavingFlag::~LeavingFlag() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void LeavingFlag::Run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kLook, [&] { return ended_; })) {
    flag_ = *stop_ || left_();
  }
}

}  // namespace mg::multipooler
