/// Small pure functions on text that people read. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace mg::text {

/// Levenshtein distance with transpositions of neighbours.
int EditDistance(absl::string_view a, absl::string_view b);

/// The candidate that `word` was probably meant to be: the shortest that begins with it (three letters at least), else
/// the nearest; none when nothing is near enough (a third of its length, at least 2).
std::optional<std::string> Closest(absl::string_view word, const std::vector<std::string>& candidates);

/// 0.3s, 12s, 3m20s, 2h05m, 4d3h: short and with the precision that matters.
std::string HumanDuration(absl::Duration duration);

/// 512 B, 1.5 KiB, 20 MiB.
std::string HumanBytes(std::uint64_t bytes);

/// Cells that `text` takes on a terminal: UTF-8 code points, escape sequences left out.
int DisplayWidth(absl::string_view text);

/// Cut to at most `width` cells, with … at the end when something was cut.
std::string Truncate(absl::string_view text, int width);

/// Wraps words at `width` cells; continuation lines begin with `indent` blanks.
std::string Wrap(absl::string_view text, int width, int indent);

/// Quotes for a POSIX shell when needed.
std::string ShellQuote(absl::string_view text);

}  // namespace mg::text
