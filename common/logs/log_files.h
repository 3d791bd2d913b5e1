/// Reading the log directories that shims write (CRI format, see common/shim_protocol/shim.h) and the agent compresses:
/// seek by time, tail, follow across rotation and restarts, merge by time. Writing is the shim's
/// (common/cri/cri_writer.h, which depends on nothing).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "common/logs/level.h"
#include "common/logs/text_buffer.h"

namespace mg::logs {

struct Record {
  absl::Time time;     ///< when the shim read the line, UTC
  std::string source;  ///< component's name
  std::string stream;  ///< stdout or stderr
  std::string text;    ///< without line end; partial CRI lines are already joined
  Level level = Level::kNone;
  std::string cursor;  ///< behind this record; only where the query wants cursors
};

struct Source {
  std::string name;       ///< component's name
  std::string directory;  ///< its log directory; may not exist yet
  // Only this time of it, within the query's: one run of the component.
  absl::Time since = absl::InfinitePast();
  absl::Time until = absl::InfiniteFuture();
};

struct Query {
  std::vector<Source> sources;
  absl::Time since = absl::InfinitePast();
  absl::Time until = absl::InfiniteFuture();
  std::optional<int> tail;  ///< only the last N of the merged records
  bool follow = false;      ///< after the present end, go on with what comes (inotify)
  std::string grep;         ///< RE2; empty: all
  std::string level;        ///< least level; records without level pass
  std::string stream;       ///< stdout or stderr; empty: both
  std::string cursor;       ///< resume after it
  bool cursors = false;     ///< fill each record's cursor
};

/// How records are written as lines of text: `<time> <component, padded> <text>`.
struct TextForm {
  bool prefix = true;                         ///< time and component; without: the text alone
  bool utc = false;                           ///< RFC 3339 with microseconds, instead of the zone's hour:minute:second
  absl::TimeZone zone = absl::UTCTimeZone();  ///< for that
  std::optional<absl::CivilDay> today;        ///< there: of other days the date is written, too; unset: of none
};

/// A merged stream. One reader; Next and NextText block.
class Stream {
 public:
  /// INVALID_ARGUMENT for a bad expression, level, stream or cursor.
  static absl::StatusOr<std::unique_ptr<Stream>> Open(Query query);
  virtual ~Stream() = default;
  /// Up to `limit` records. Empty with OK: the end (never when following). CANCELLED after Cancel. While following it
  /// returns as soon as there is one record.
  virtual absl::StatusOr<std::vector<Record>> Next(size_t limit) = 0;
  /// The same as text, appended to `out`, until it has `bytes` or a little more; the number of records. Several times
  /// as fast: nothing is made of a record but its line.
  virtual absl::StatusOr<size_t> NextText(const TextForm& form, size_t bytes, TextBuffer* out) = 0;
  /// True once, after files of a source were removed before they were read.
  virtual bool TakeGap() = 0;
  /// Cursor behind the last record that Next gave.
  virtual std::string cursor() const = 0;
  /// Wakes a Next from any thread.
  virtual void Cancel() = 0;
};

/// The last `count` lines of one source, oldest first; empty when there are none.
std::vector<std::string> LastLines(const Source& source, int count);

}  // namespace mg::logs
