/// Help texts and the command reference, from the declarations. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/args/command.h"

namespace mg::cli {

/// Help of the program (empty path), of a noun ("topology cell"), or of a command; `bold` puts escape sequences around
/// headings.
std::string HelpText(const std::vector<Command>& commands, const std::string& path, bool bold);

/// docs/cli.md.
std::string Reference(const std::vector<Command>& commands);

}  // namespace mg::cli
