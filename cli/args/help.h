/// Help texts and the command reference, from the declarations. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/args/command.h"

namespace mg::cli {

/// The widest help; wider lines are hard to read.
inline constexpr int kWidestHelp = 100;

/// Help of the program (empty path), of a noun ("topology cell"), or of a command; `bold` puts escape sequences around
/// headings. Text is wrapped at `width` cells, at least 40 and at most kWidestHelp.
std::string HelpText(const std::vector<Command>& commands, const std::string& path, bool bold, int width = kWidestHelp);

/// docs/cli.md.
std::string Reference(const std::vector<Command>& commands);

/// Text that begins in column `indent`, wrapped before column `width`.
std::string Hanging(const std::string& text, int width, int indent);

}  // namespace mg::cli
