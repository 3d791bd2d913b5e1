#include "common/logs/seek.h"

#include <algorithm>
#include <string>

#include "absl/strings/string_view.h"
#include "common/logs/cri.h"

namespace mg::logs {
namespace {

constexpr size_t kChunk = 64 << 10;
constexpr size_t kProbe = 4096;
constexpr size_t kFlagAt = 38;  // 2026-11-23T16:00:00.123456789Z stdout F text

/// A line with a time.
struct Timed {
  off_t start = 0;
  std::int64_t nanos = kNoTime;
};

/// The first line with a time that starts at or behind `from`, or at `from` itself when `from` is a line's start.
/// `start` is `end` when there is none before `end`.
Timed NextTimed(LogFile& file, off_t from, off_t end, bool at_line_start) {
  std::string window;
  off_t window_at = from;
  bool line_start = at_line_start;
  size_t used = 0;
  for (;;) {
    if (!line_start) {
      size_t newline = window.find('\n', used);
      if (newline != std::string::npos) {
        used = newline + 1;
        line_start = true;
      } else {
        used = window.size();
      }
    }
    if (line_start) {
      off_t start = window_at + static_cast<off_t>(used);
      if (start >= end) {
        return {.start = end};
      }
      if (window.size() - used >= kStampSize || window_at + static_cast<off_t>(window.size()) >= end) {
        std::int64_t nanos = CriTime(absl::string_view(window).substr(used));
        if (nanos != kNoTime) {
          return {.start = start, .nanos = nanos};
        }
        line_start = false;
        if (used < window.size()) {
          continue;
        }
      }
    }
    window.erase(0, used);
    window_at += static_cast<off_t>(used);
    used = 0;
    size_t old = window.size();
    window.resize(old + kProbe);
    ssize_t n = file.Read(window.data() + old, kProbe, window_at + static_cast<off_t>(old));
    window.resize(old + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n <= 0) {
      return {.start = end};
    }
  }
}

/// The line at `offset` is a part that goes on in a later one.
bool IsPartial(LogFile& file, off_t offset) {
  char head[kFlagAt + 1];
  return file.Read(head, sizeof head, offset) == static_cast<ssize_t>(sizeof head) && head[kFlagAt] == 'P';
}

}  // namespace

off_t FindTime(LogFile& file, off_t size, std::int64_t since) {
  off_t low = 0, high = size;  // everything before `low` is too early; what begins at or behind `high` is not
  off_t answer = size;
  while (low < high) {
    off_t middle = low + (high - low) / 2;
    Timed line = NextTimed(file, middle, size, middle == 0);
    if (line.start >= size || line.nanos >= since) {
      answer = std::min(answer, line.start);
      high = middle;
    } else {
      low = std::max(line.start, middle) + 1;
    }
  }
  return answer;
}

off_t FindTail(LogFile& file, off_t size, int* lines) {
  std::string chunk(kChunk, '\0');
  off_t start = size;  // of the earliest line that was found
  auto take = [&](off_t offset, absl::string_view behind) {
    bool partial = behind.size() > kFlagAt ? behind[kFlagAt] == 'P' : IsPartial(file, offset);
    if (!partial && *lines == 0) {
      return false;
    }
    start = offset;
    *lines -= partial ? 0 : 1;
    return true;
  };
  bool first = true;
  for (off_t at = size; at > 0;) {
    off_t begin = std::max<off_t>(0, at - static_cast<off_t>(kChunk));
    ssize_t n = file.Read(chunk.data(), static_cast<size_t>(at - begin), begin);
    if (n <= 0) {
      return start;
    }
    for (ssize_t i = n - 1; i >= 0; --i) {
      off_t line = begin + i + 1;
      if (chunk[static_cast<size_t>(i)] != '\n') {
        continue;
      }
      if (first) {
        start = line;  // what follows the last line end is not a line yet, and will be read when it is
        first = false;
      } else if (!take(line,
                       absl::string_view(chunk.data(), static_cast<size_t>(n)).substr(static_cast<size_t>(i) + 1))) {
        return start;
      }
    }
    at = begin;
  }
  if (first) {
    return 0;  // not one whole line
  }
  (void)take(0, "");
  return start;
}

std::int64_t TimeBefore(LogFile& file, off_t at) {
  // A part may be as long as the writer makes it; the last one has the record's time.
  off_t begin = std::max<off_t>(0, at - static_cast<off_t>(kChunk));
  std::string text(static_cast<size_t>(at - begin), '\0');
  if (at == 0 || file.Read(text.data(), text.size(), begin) != static_cast<ssize_t>(text.size()) ||
      text.back() != '\n') {
    return kNoTime;
  }
  size_t line = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
  if (line == std::string::npos && begin > 0) {
    return kNoTime;
  }
  return CriTime(absl::string_view(text).substr(line == std::string::npos ? 0 : line + 1));
}

}  // namespace mg::logs
