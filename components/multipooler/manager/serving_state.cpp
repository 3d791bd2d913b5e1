#include "components/multipooler/manager/serving_state.h"

#include <utility>

#include "absl/time/clock.h"

namespace mg::multipooler {

ServingState::Subscription::~Subscription() {
  std::lock_guard lock(state_->observers_mutex_);
  state_->observers_.erase(id_);
}

Serving ServingState::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

std::unique_ptr<ServingState::Subscription> ServingState::Subscribe(Observer observer) {
  std::lock_guard lock(observers_mutex_);
  observer(current());
  int id = next_id_++;
  observers_.emplace(id, std::move(observer));
  return std::make_unique<Subscription>(this, id);
}

void ServingState::Set(const Serving& serving) {
  std::lock_guard lock(observers_mutex_);
  {
    std::lock_guard value_lock(mutex_);
    if (current_ == serving) {
      return;
    }
    current_ = serving;
  }
  for (const auto& [id, observer] : observers_) {
    observer(serving);
  }
}

void ServingState::Report(const Load& load) {
  std::lock_guard lock(mutex_);
  load_ = load;
  load_changed_.notify_all();
}

Load ServingState::WaitForDrain(absl::Time patience, absl::Time deadline) const {
  std::unique_lock lock(mutex_);
  while (true) {
    absl::Time now = absl::Now();
    absl::Time until = load_.statements > 0 ? deadline : load_.transactions > 0 ? patience : absl::InfinitePast();
    if (now >= until) {
      return load_;
    }
    load_changed_.wait_until(lock, absl::ToChronoTime(until));
  }
}

}  // namespace mg::multipooler
