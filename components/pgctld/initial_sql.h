/// What is run once on a new data directory: the database, roles and settings from the secrets file, SQL directories
/// and files. Blocking.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/pginstall/pginstall.h"
#include "components/pgctld/options.h"
#include "components/pgctld/postgres_server.h"

namespace mg::pgctld {

bool HasInitialSql(const Options& options);

/// Starts the server on its Unix socket only, runs all of it by psql, and stops the server. The first error ends it.
absl::Status RunInitialSql(const Options& options, const pginstall::Installation& installation, PostgresServer* server);

/// The statements that a secrets file asks for: JSON with `roles` (name to password) and `database_settings` (database
/// to setting to value). `path` is for messages.
absl::StatusOr<std::string> SecretsSql(const std::string& json, const std::string& path);

}  // namespace mg::pgctld
