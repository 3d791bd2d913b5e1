/// What the commands for single components share.
#pragma once

#include <string>

#include "cli/commands/context.h"

namespace mg::cli {

/// Says on stderr which running components need this one. Says nothing when that cannot be found out: the command
/// itself then tells what is wrong.
void WarnOfDependants(Context& context, const std::string& component);

}  // namespace mg::cli
