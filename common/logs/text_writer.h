/// Records as lines of text, fast: the date and the hour are made anew only when the second changes. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "common/logs/log_files.h"
#include "common/logs/source_reader.h"
#include "common/logs/text_buffer.h"

namespace mg::logs {

class TextWriter {
 public:
  /// `width`: of the column of components' names.
  TextWriter(TextForm form, size_t width) : form_(form), width_(width) {}
  /// A component's name as its column has it.
  std::string Label(const std::string& component) const;
  void Append(const Line& line, absl::string_view label, TextBuffer* out);

 private:
  const TextForm form_;
  const size_t width_;
  std::int64_t second_ = kNoTime;  ///< the nanosecond at which it begins
  std::string head_;               ///< of that second: `16:00:00.`
};

}  // namespace mg::logs
