/// Making a data directory: initdb, configuration, the SQL that is run once. Blocking; one at a time.
#pragma once

#include "absl/status/statusor.h"
#include "components/pgctld/options.h"
#include "components/pgctld/postgres_server.h"

namespace mg::pgctld {

/// True: it was there already. A failure leaves nothing behind and has initdb's last lines. A pgctld that is killed on
/// the way leaves a directory that does not count as initialised; the next call, or RemoveUnfinished, removes it.
absl::StatusOr<bool> InitDataDir(const Options& options, PostgresServer* server);

/// Removes what an earlier pgctld, killed during initdb, left beside the data directory.
void RemoveUnfinished(const Options& options);

}  // namespace mg::pgctld
