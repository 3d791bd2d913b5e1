/// Levels of log lines, as the components that we run write them: JSON of slog and zap, PostgreSQL, capnslog,
/// key=value. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace mg::logs {

enum class Level : std::uint8_t { kNone, kDebug, kInfo, kWarn, kError };

/// debug, info, warn, error; kNone: empty.
absl::string_view LevelName(Level level);
/// Of one of those names; nothing for another word.
std::optional<Level> LevelOfName(absl::string_view name);

/// Level of a line. What belongs to the line before it (PostgreSQL's DETAIL, HINT, STATEMENT …, and the indented rest
/// of a message of several lines) has that line's level, `before`.
Level ScanLevel(absl::string_view text, Level before);

/// The level of a line by itself, as a word; empty: none.
std::string ParseLevel(absl::string_view text);

/// The parts of a line of PostgreSQL with our log_line_prefix, `%m [%p] %q%u@%d `; views into the line.
struct PostgresLine {
  absl::string_view pid, user, database, severity, message;
};
std::optional<PostgresLine> ParsePostgres(absl::string_view text);

/// The parts of a line of capnslog, which etcd up to 3.4 writes beside zap's: `DATE TIME L | package: message`, L a
/// letter for the level; views into the line.
struct CapnslogLine {
  Level level = Level::kNone;
  absl::string_view package, message;
};
std::optional<CapnslogLine> ParseCapnslog(absl::string_view text);

}  // namespace mg::logs
