/// Upstream's commands name an Admin API by its address, and bring no token. Where that is the address of a cluster of
/// this machine that the agent looks after, the agent has the token, and the command is one for that cluster.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/args/command.h"

namespace mg::cli {

/// The arguments with --cluster instead of --admin-server, where that names a loopback address at whose port the
/// multiadmin of one of this user's clusters runs, as the running agent says; else as they are. The token stays with
/// the agent, which shows it to its own multiadmin only. A token of the caller's own (MULTIGRES_TOKEN_FILE) comes
/// first.
Arguments TowardsOwnCluster(const std::vector<Command>& commands, const Arguments& arguments,
                            const std::map<std::string, std::string>& environment);

}  // namespace mg::cli
