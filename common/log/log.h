/// The programs' own log: one record per line on stdout, stderr or a file, as JSON in the form of Go's slog (`time` RFC
/// 3339 with nanoseconds, `level`, `msg`, then attributes) or as key=value text. Any thread.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace mg::log {

enum class Level { kDebug, kInfo, kWarn, kError };

struct Options {
  std::string level = "info";     ///< debug, info, warn, error; anything else is info
  std::string format = "json";    ///< json or text
  std::string output = "stdout";  ///< stdout, stderr or a path that is appended to
  std::size_t rotate_bytes = 0;   ///< size at which a file is renamed and begun anew; 0: never
  int rotate_keep = 2;            ///< renamed files that are kept: x.1.log, x.2.log
};

/// Sets the sink. Before that, records go to stderr as text. An unwritable path is an error, and the sink stays as it
/// was. A full disk is none, now or later: stderr is told once, records are lost, and the file goes on when there is
/// room.
absl::Status Configure(const Options& options);

/// One attribute; numbers and booleans may be given as they are.
struct Attribute {
  template <typename T>
  Attribute(absl::string_view k, const T& v) : key(k), value(absl::StrCat(v)) {}
  Attribute(absl::string_view k, const absl::Status& v) : key(k), value(v.ToString()) {}
  absl::string_view key;
  std::string value;
};

void Write(Level level, absl::string_view message, std::initializer_list<Attribute> attributes = {});
inline void Debug(absl::string_view m, std::initializer_list<Attribute> a = {}) { Write(Level::kDebug, m, a); }
inline void Info(absl::string_view m, std::initializer_list<Attribute> a = {}) { Write(Level::kInfo, m, a); }
inline void Warn(absl::string_view m, std::initializer_list<Attribute> a = {}) { Write(Level::kWarn, m, a); }
inline void Error(absl::string_view m, std::initializer_list<Attribute> a = {}) { Write(Level::kError, m, a); }

}  // namespace mg::log
