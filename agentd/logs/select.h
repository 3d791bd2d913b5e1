/// Which components a reader of logs means. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/logs/log_files.h"

namespace mg::logs {

/// The sources whose component is named by a selector: its name (`multipooler/zone1`), its kind (`multipooler`), a cell
/// (`zone1`), or nothing for all. NOT_FOUND, with what there is, for a selector that names none.
absl::StatusOr<std::vector<Source>> SelectSources(const std::vector<Source>& all,
                                                  const std::vector<std::string>& selectors);

}  // namespace mg::logs
