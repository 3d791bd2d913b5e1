#include "agentd/logs/text_pool.h"

#include <algorithm>
#include <utility>

namespace mg::logs {
namespace {

constexpr size_t kMostFree = 8;
constexpr size_t kSmall = 96 << 10;
/// A line may be as long as a megabyte; that is no reason to keep as much.
constexpr size_t kLargest = 512 << 10;

}  // namespace

std::shared_ptr<TextBuffer> TextPool::Take() {
  std::unique_ptr<TextBuffer> buffer;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      buffer = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (buffer == nullptr) {
    buffer = std::make_unique<TextBuffer>();
  }
  return {buffer.release(),
          [pool = shared_from_this()](TextBuffer* used) { pool->Give(std::unique_ptr<TextBuffer>(used)); }};
}

void TextPool::Give(std::unique_ptr<TextBuffer> buffer) {
  buffer->Clear();
  std::lock_guard<std::mutex> lock(mutex_);
  if (free_.size() < kMostFree && buffer->capacity() <= kLargest) {
    free_.push_back(std::move(buffer));
  }
}

void TextPool::Shrink() {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.erase(
      std::remove_if(free_.begin(), free_.end(), [](const auto& buffer) { return buffer->capacity() > kSmall; }),
      free_.end());
  free_.resize(std::min<size_t>(free_.size(), 1));
}

}  // namespace mg::logs
