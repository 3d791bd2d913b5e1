/// Parsing of CRI log lines. Pure.
#pragma once

#include <cstdint>
#include <limits>

#include "absl/strings/string_view.h"

namespace mg::logs {

/// Nanoseconds since 1970, UTC; what is not a time is before all of them.
inline constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();
inline constexpr size_t kStampSize = 30;  ///< 2026-11-23T16:00:00.123456789Z

struct CriLine {
  std::int64_t nanos = kNoTime;
  absl::string_view stamp;  ///< the time as it is written; points into the parsed line, as the text does
  bool is_stderr = false;
  bool complete = true;  ///< F; false: P, the line goes on in the next record
  absl::string_view text;
};

/// The times of lines in a row, of which most are of the same second. One thread.
class CriClock {
 public:
  /// As CriTime.
  std::int64_t Time(absl::string_view line);

 private:
  static constexpr size_t kHead = 20;  ///< the stamp up to its fraction
  char head_[kHead] = {};
  std::int64_t second_ = kNoTime;  ///< in nanoseconds
};

/// `line` without its line end. False: not a CRI line (torn or foreign).
bool ParseCri(absl::string_view line, CriClock* clock, CriLine* out);

/// The time of a line alone; kNoTime when it has none.
std::int64_t CriTime(absl::string_view line);

}  // namespace mg::logs
