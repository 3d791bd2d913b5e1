/// Reading the log directories that shims write (CRI format, see common/shim_protocol/shim.h): seek by time, tail,
/// follow across rotation and restarts, merge by time. Writing is the shim's (common/cri/cri_writer.h, which depends
/// on nothing).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg::logs {

struct Record {
  absl::Time time;     ///< when the shim read the line, UTC
  std::string source;  ///< component's name
  std::string stream;  ///< stdout or stderr
  std::string text;    ///< without line end; partial CRI lines are already joined
  std::string level;   ///< debug, info, warn, error, or empty (see ParseLevel)
};

/// Level of a line as its component writes it: JSON slog and zap, PostgreSQL (LOG, WARNING, ERROR, FATAL, PANIC …),
/// key=value.
std::string ParseLevel(absl::string_view text);

struct Source {
  std::string name;       ///< component's name
  std::string directory;  ///< its log directory; may not exist yet
};

struct Query {
  std::vector<Source> sources;
  absl::Time since = absl::InfinitePast();
  absl::Time until = absl::InfiniteFuture();
  std::optional<int> tail;  ///< only the last N of the merged records
  bool follow = false;      ///< after the present end, go on with what comes (inotify)
  std::string grep;         ///< RE2; empty: all
  std::string level;        ///< least level; records without level pass
  std::string cursor;       ///< resume after it
};

/// A merged stream. One reader; Next blocks.
class Stream {
 public:
  /// INVALID_ARGUMENT for a bad expression, level or cursor.
  static absl::StatusOr<std::unique_ptr<Stream>> Open(Query query);
  virtual ~Stream() = default;
  /// Up to `limit` records. Empty with OK: the end (never when following). CANCELLED after Cancel. While following it
  /// returns as soon as there is one record.
  virtual absl::StatusOr<std::vector<Record>> Next(size_t limit) = 0;
  /// Cursor behind the last record that Next gave.
  virtual std::string cursor() const = 0;
  /// Wakes a Next from any thread.
  virtual void Cancel() = 0;
};

/// The last `count` lines of one source, oldest first; empty when there are none.
std::vector<std::string> LastLines(const Source& source, int count);

}  // namespace mg::logs
