/// A row of bytes that grows, is never zeroed, and keeps its memory when it is emptied. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "absl/strings/string_view.h"

namespace mg::logs {

class TextBuffer {
 public:
  absl::string_view view() const { return {bytes_.get(), size_}; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  void Clear() { size_ = 0; }

  /// A place behind the end for `most` bytes; Grow then takes in those that were written there. Valid until the next
  /// Room.
  char* Room(size_t most) {
    if (capacity_ - size_ < most) {
      size_t wanted = std::max(2 * capacity_, size_ + most);
      std::unique_ptr<char[]> larger(new char[wanted]);
      if (size_ > 0) {
        std::memcpy(larger.get(), bytes_.get(), size_);
      }
      bytes_ = std::move(larger);
      capacity_ = wanted;
    }
    return bytes_.get() + size_;
  }
  void Grow(size_t more) { size_ += more; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace mg::logs
