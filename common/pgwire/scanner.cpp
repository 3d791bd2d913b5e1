#include "common/pgwire/scanner.h"

#include <algorithm>

#include "common/pgwire/message.h"

namespace mg::pgwire {

namespace {
constexpr std::uint32_t kMaxHeld = 1 << 20;
}

bool Scanner::Feed(absl::string_view data, std::string* out) {
  while (!data.empty()) {
    if (left_ > 0) {
      size_t take = static_cast<size_t>(std::min<std::uint64_t>(left_, data.size()));
      out->append(data.data(), take);
      data.remove_prefix(take);
      left_ -= take;
      continue;
    }
    if (held_.size() < 5) {
      size_t take = std::min(data.size(), 5 - held_.size());
      held_.append(data.data(), take);
      data.remove_prefix(take);
      if (held_.size() < 5) {
        return true;
      }
      std::uint32_t length = ReadUint32(held_.data() + 1);
      if (length < 4 || length > (1u << 30) + 64) {
        return false;
      }
      if (wanted_.find(held_[0]) == std::string::npos || length > kMaxHeld) {
        if (begin_) {
          begin_(held_[0]);
        }
        out->append(held_);
        left_ = length - 4;
        held_.clear();
        continue;
      }
    }
    size_t whole = 1 + static_cast<size_t>(ReadUint32(held_.data() + 1));
    size_t take = std::min(data.size(), whole - held_.size());
    held_.append(data.data(), take);
    data.remove_prefix(take);
    // Also when the body is empty: the header alone is the message.
    if (held_.size() == whole) {
      std::string message;
      message.swap(held_);
      out->append(inspect_(message[0], message));
    }
  }
  return true;
}

}  // namespace mg::pgwire
