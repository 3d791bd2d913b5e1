/// What --watch shows of an answer that may be taller than the terminal. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "cli/output/terminal.h"

namespace mg::cli {

/// As many lines of the answer, from its top, as the terminal's height holds; what is hidden is told by the last line.
/// Below them, always to be seen, stand the troubles that asking for it had. A line that is wider than the terminal
/// counts as the rows that it takes. Without a line end at its end, which would scroll a full screen.
std::string FitScreen(absl::string_view answer, absl::string_view troubles, const Terminal& terminal);

}  // namespace mg::cli
