/// What commands in upstream's own spelling have in common. For commands' .cpp files.
#pragma once

#include <functional>
#include <vector>

#include "cli/args/command.h"
#include "cli/commands/context.h"

namespace mg::cli {

/// Hidden, with upstream's manner of errors, and with the flag that all of upstream's commands have. `needed` are
/// arguments without which it does nothing, for its example.
Command UpstreamCommand(const char* path, const char* summary, std::vector<Flag> flags,
                        std::function<int(Context&)> run, const char* needed = "");

}  // namespace mg::cli
