/// The commands that show what gateways count: queries by shape, and prepared statements.
#pragma once

#include <vector>

#include "cli/args/command.h"

namespace mg::cli {

std::vector<Command> GatewayStatsCommands();

}  // namespace mg::cli
