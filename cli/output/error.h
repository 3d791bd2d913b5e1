/// How an error reaches the user: one sentence of what failed and why, the last lines of the component at fault, and
/// what to do next.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/output/terminal.h"

namespace mg::cli {

/// Text for stderr in the chosen format, with a final line end. `said`: see Visible.
std::string ErrorText(const absl::Status& status, Format format, bool colour,
                      const std::vector<std::string>& said = {});

/// A message for a terminal. Names come back in messages; what in them would change a terminal's colour or its line is
/// shown instead. Of several lines those after the first are indented, so that none passes for a line of ours; a line
/// end in one of the words of the command line, `said`, is shown, too.
std::string Visible(absl::string_view text, const std::vector<std::string>& said);

/// docs/errors.md: every reason with its exit status, usual cause and what to do.
std::string ErrorReference();

}  // namespace mg::cli
