/// Parsing of CRI log lines. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace mg::logs {

struct CriLine {
  absl::Time time;
  absl::string_view stream;  ///< stdout or stderr; points into the parsed line
  bool complete = true;      ///< F; false: P, the line goes on in the next record
  absl::string_view text;    ///< points into the parsed line
};

/// `line` without its line end. False: not a CRI line (torn or foreign).
bool ParseCri(absl::string_view line, CriLine* out);

/// The time of a line alone; InfinitePast when it is none.
absl::Time CriTime(absl::string_view line);

}  // namespace mg::logs
