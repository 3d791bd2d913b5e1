/// From argv to Arguments. Pure; no I/O.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/args/command.h"

namespace mg::cli {

/// How a command line was understood.
struct ParseResult {
  enum class Kind { kRun, kHelp, kVersion };
  Kind kind = Kind::kRun;
  Arguments arguments = {};   ///< for kRun
  std::string help_for = {};  ///< for kHelp: a command's path, a noun, or empty for the program
};

/// INVALID_ARGUMENT with one sentence, and a hint with the nearest command or flag, for what is not understood.
absl::StatusOr<ParseResult> Parse(const std::vector<Command>& commands, const std::vector<std::string>& arguments);

}  // namespace mg::cli
