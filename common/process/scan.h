/// Finding processes by what marks them. Any thread; reads /proc.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/process/process_id.h"

namespace mg {

/// Every process that there was when /proc was read, in no order; a number may have passed to another since.
std::vector<pid_t> AllPids();

/// Live processes (this one left out) that were started with this `NAME=value` in their environment, as far as this
/// user may look. Programs that write over their environment (PostgreSQL's, for its title) are not found.
std::vector<ProcessId> ProcessesWithEnvironment(const std::string& entry);

}  // namespace mg
