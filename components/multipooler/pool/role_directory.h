/// What PostgreSQL knows about a role, asked as the superuser over one kept connection. Blocking, each call within its
/// deadline; any thread, one at a time.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/pgwire/client.h"
#include "components/multipooler/manager/serving_state.h"

namespace mg::multipooler {

struct RoleState {
  bool exists = false;
  bool can_login = false;
  bool replication = false;
  std::string verifier;  ///< empty: no password, or one that is no longer valid
  /// Changes with whatever a new login would find changed: the role, its settings, its right to connect, the database,
  /// the configuration files. Empty when the database does not exist.
  std::string fingerprint;
};

class RoleDirectory {
 public:
  explicit RoleDirectory(PostgresEndpoint postgres) : postgres_(std::move(postgres)) {}

  absl::StatusOr<RoleState> Look(const std::string& role, const std::string& database, absl::Time deadline);
  /// Whether a backend waits for a standby's acknowledgement at this moment.
  absl::StatusOr<bool> WaitsForStandby(std::uint32_t pid, absl::Time deadline);

 private:
  absl::StatusOr<std::vector<pgwire::Client::Row>> Query(const std::string& sql, absl::Time deadline);

  const PostgresEndpoint postgres_;
  std::timed_mutex mutex_;  ///< guards connection_
  std::unique_ptr<pgwire::Client> connection_;
};

}  // namespace mg::multipooler
