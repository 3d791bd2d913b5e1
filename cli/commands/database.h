/// What the commands about databases share.
#pragma once

#include "cli/commands/context.h"

namespace mg::cli {

/// Every database with its cells, durability, poolers and primary; the exit status.
int ShowDatabases(Context& context);

}  // namespace mg::cli
