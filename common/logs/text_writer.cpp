#include "common/logs/text_writer.h"

namespace mg::logs {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr size_t kUtcStamp = 26;  // 2026-11-23T16:00:00.123456 of what the file says
constexpr size_t kFraction = 20;  // where its fraction begins
constexpr size_t kMilliseconds = 3;

}  // namespace

void TextWriter::Append(const Line& line, const std::string& component, std::string* out) {
  if (form_.prefix) {
    if (form_.utc) {
      out->append(line.stamp.data(), kUtcStamp);
      out->append("Z ", 2);
    } else {
      std::int64_t second = line.nanos / kNanos;
      if (second != second_) {
        second_ = second;
        head_ = absl::FormatTime("%H:%M:%S.", absl::FromUnixSeconds(second), form_.zone);
      }
      out->append(head_);
      out->append(line.stamp.data() + kFraction, kMilliseconds);
      out->push_back(' ');
    }
    out->append(component);
    out->append(component.size() < width_ ? width_ - component.size() + 1 : 1, ' ');
  }
  out->append(line.text.data(), line.text.size());
  out->push_back('\n');
}

}  // namespace mg::logs
