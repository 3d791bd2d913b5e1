/// postgresql.conf and pg_hba.conf of a new data directory. Blocking.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "components/pgctld/options.h"

namespace mg::pgctld {

/// Writes both into `data_dir`, which initdb has just made.
absl::Status WriteConfiguration(const Options& options, const std::string& data_dir);

}  // namespace mg::pgctld
