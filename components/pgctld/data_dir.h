/// Making a data directory: initdb, configuration, the SQL that is run once. Blocking; one at a time.
#pragma once

#include "absl/status/statusor.h"
#include "components/pgctld/options.h"
#include "components/pgctld/postgres_server.h"

namespace mg::pgctld {

/// True: it was there already. A failure leaves no data directory behind and has initdb's last lines.
absl::StatusOr<bool> InitDataDir(const Options& options, PostgresServer* server);

}  // namespace mg::pgctld
