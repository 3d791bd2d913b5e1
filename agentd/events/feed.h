/// A bounded, numbered sequence that many readers follow at their own pace: each pulls from where it stands and is
/// woken when there is more, so a slow reader holds up nobody, and one that fell behind what is kept is told how much
/// it missed. Any thread. Knows nothing of what its items mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace mg::events {

template <typename T>
class Feed {
 public:
  using Wake = std::function<void()>;
  struct Batch {
    std::vector<std::pair<std::int64_t, T>> items;  ///< in order, with their sequence numbers
    std::int64_t missed = 0;                        ///< items between `after` and the first one that are no longer kept
    bool end = false;                               ///< closed, and nothing comes after these items
  };

  explicit Feed(size_t capacity) : capacity_(capacity) {}

  /// Begins with items of a former life, the last of which has the number `last`. Before any Append.
  void Restore(std::deque<T> items, std::int64_t last) {
    std::lock_guard<std::mutex> lock(mutex_);
    items_ = std::move(items);
    last_ = last;
    while (items_.size() > capacity_) {
      items_.pop_front();
    }
  }

  /// Adds what `make` makes of the item's sequence number (from 1) and wakes the readers. No effect once closed.
  template <typename Make>
  void Append(Make make) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) {
        return;
      }
      items_.push_back(make(++last_));
      if (items_.size() > capacity_) {
        items_.pop_front();
      }
    }
    WakeAll();
  }

  /// No further items; readers see the end after the last one.
  void Close() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    WakeAll();
  }

  Batch ReadAfter(std::int64_t after, size_t limit) const {
    std::lock_guard<std::mutex> lock(mutex_);
    Batch batch;
    std::int64_t first = last_ - static_cast<std::int64_t>(items_.size()) + 1;
    std::int64_t next = std::max(after + 1, first);
    batch.missed = next - (after + 1);
    for (; next <= last_ && batch.items.size() < limit; ++next) {
      batch.items.emplace_back(next, items_[static_cast<size_t>(next - first)]);
    }
    batch.end = closed_ && next > last_;
    return batch;
  }

  std::int64_t last() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return last_;
  }

  /// Everything was added that ever will be.
  bool closed() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }

  /// Calls `wake` after each Append and Close as long as the returned handle lives; one call may still be under way on
  /// another thread when the handle is gone, so `wake` must own what it touches. Subscribe first, then read.
  [[nodiscard]] std::shared_ptr<void> Subscribe(Wake wake) {
    auto handle = std::make_shared<Wake>(std::move(wake));
    std::lock_guard<std::mutex> lock(mutex_);
    wakes_.push_back(handle);
    return handle;
  }

 private:
  void WakeAll() {
    std::vector<std::shared_ptr<Wake>> live;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      std::erase_if(wakes_, [](const auto& wake) { return wake.expired(); });
      for (const auto& wake : wakes_) {
        if (auto handle = wake.lock()) {
          live.push_back(std::move(handle));
        }
      }
    }
    for (const auto& wake : live) {
      (*wake)();
    }
  }

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<T> items_;
  std::int64_t last_ = 0;
  bool closed_ = false;
  std::vector<std::weak_ptr<Wake>> wakes_;
};

}  // namespace mg::events
