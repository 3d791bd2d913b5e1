#include "components/multipooler/manager/serving_state.h"

#include <utility>

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

}  // namespace mg::multipooler
