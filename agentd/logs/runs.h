/// When a component's runs began, as its shims noted it (common/shim_protocol/shim.h). Any thread; blocking.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/logs/log_files.h"

namespace mg::logs {

/// Beginnings of a component's last runs, oldest first; empty when none is noted.
std::vector<absl::Time> RunsOf(const std::string& log_directory);

/// The sources that had a run before their present or last one, narrowed to that run. NOT_FOUND when none had.
absl::StatusOr<std::vector<Source>> PreviousRuns(std::vector<Source> sources);

}  // namespace mg::logs
