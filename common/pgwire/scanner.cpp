#include "common/pgwire/scanner.h"

#include <algorithm>

#include "common/pgwire/message.h"

namespace mg::pgwire {
namespace {

constexpr size_t kHeader = 5;
constexpr std::uint32_t kMaxHeld = 1 << 20;
/// PostgreSQL's own limit of a message.
constexpr std::uint32_t kMaxLength = (1u << 30) + 64;

}  // namespace

bool Scanner::Wanted(char type, std::uint32_t length) const {
  return length <= kMaxHeld && wanted_.find(type) != std::string::npos;
}

void Scanner::Look(absl::string_view message, std::string* out) {
  Verdict verdict = inspect_(message[0], message, out);
  if (verdict == Verdict::kPass) {
    out->append(message.data(), message.size());
  }
  stopped_ = verdict == Verdict::kStop;
}

bool Scanner::Feed(absl::string_view data, std::string* out) {
  while (!data.empty() && !stopped_) {
    if (left_ > 0) {
      size_t take = static_cast<size_t>(std::min<std::uint64_t>(left_, data.size()));
      out->append(data.data(), take);
      data.remove_prefix(take);
      left_ -= take;
      continue;
    }
    // The header: where it stands when it is there whole, else gathered.
    if (held_.size() < kHeader && !(held_.empty() && data.size() >= kHeader)) {
      size_t take = std::min(data.size(), kHeader - held_.size());
      held_.append(data.data(), take);
      data.remove_prefix(take);
      if (held_.size() < kHeader) {
        return true;
      }
    }
    const char* header = held_.empty() ? data.data() : held_.data();
    std::uint32_t length = ReadUint32(header + 1);
    if (length < 4 || length > kMaxLength) {
      return false;
    }
    if (!Wanted(header[0], length)) {
      if (begin_) {
        begin_(header[0], length > kMaxHeld && wanted_.find(header[0]) != std::string::npos);
      }
      left_ = static_cast<std::uint64_t>(length) + 1 - held_.size();
      out->append(held_);
      held_.clear();
      continue;
    }
    size_t whole = static_cast<size_t>(length) + 1;
    if (held_.empty() && data.size() >= whole) {
      Look(data.substr(0, whole), out);
      data.remove_prefix(whole);
      continue;
    }
    size_t take = std::min(data.size(), whole - held_.size());
    held_.append(data.data(), take);
    data.remove_prefix(take);
    if (held_.size() == whole) {
      std::string message;
      message.swap(held_);
      Look(message, out);
    }
  }
  return true;
}

}  // namespace mg::pgwire
