/// What commands in upstream's own spelling have in common. For commands' .cpp files.
#pragma once

#include <functional>
#include <vector>

#include "cli/args/command.h"
#include "cli/commands/context.h"

namespace mg::cli {

/// Hidden, with upstream's manner of errors, and with the flag that all of upstream's commands have.
Command UpstreamCommand(const char* path, const char* summary, std::vector<Flag> flags,
                        std::function<int(Context&)> run);

}  // namespace mg::cli
