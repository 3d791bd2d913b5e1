#include "common/logs/text_writer.h"

#include <cstring>

namespace mg::logs {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr size_t kUtcStamp = 26;  // 2026-11-23T16:00:00.123456 of what the file says
constexpr size_t kFraction = 20;  // where its fraction begins
constexpr size_t kMilliseconds = 3;
constexpr size_t kLongestStamp = 40;

char* Put(char* at, absl::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

}  // namespace

std::string TextWriter::Label(const std::string& component) const {
  std::string label = component;
  label.append(component.size() < width_ ? width_ - component.size() + 1 : 1, ' ');
  return label;
}

void TextWriter::Append(const Line& line, absl::string_view label, TextBuffer* out) {
  char* begin = out->Room(kLongestStamp + label.size() + line.text.size() + 1);
  char* at = begin;
  if (form_.prefix) {
    if (form_.utc) {
      at = Put(Put(at, line.stamp.substr(0, kUtcStamp)), "Z ");
    } else {
      if (head_.empty() || line.nanos < second_ || line.nanos - second_ >= kNanos) {
        absl::Time second = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::FromUnixNanos(line.nanos)));
        second_ = absl::ToUnixNanos(second);
        bool other_day = form_.today.has_value() && absl::ToCivilDay(second, form_.zone) != *form_.today;
        head_ = absl::FormatTime(other_day ? "%Y-%m-%d %H:%M:%S." : "%H:%M:%S.", second, form_.zone);
      }
      at = Put(Put(at, head_), line.stamp.substr(kFraction, kMilliseconds));
      *at++ = ' ';
    }
    at = Put(at, label);
  }
  at = Put(at, line.text);
  *at++ = '\n';
  out->Grow(static_cast<size_t>(at - begin));
}

}  // namespace mg::logs
