/// How an error reaches the user: one sentence of what failed and why, the last lines of the component at fault, and
/// what to do next.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/output/terminal.h"

namespace mg::cli {

/// Text for stderr in the chosen format, with a final line end.
std::string ErrorText(const absl::Status& status, Format format, bool colour);

/// docs/errors.md: every reason with its exit status, usual cause and what to do.
std::string ErrorReference();

}  // namespace mg::cli
