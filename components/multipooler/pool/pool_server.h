/// The pooler's PostgreSQL endpoint for gateways: a private Unix socket, pooled server connections, session pooling.
///
/// A session holds one server connection from its login to its end. Afterwards the connection is kept only when the
/// session left it idle between messages and ROLLBACK, DISCARD ALL brought every reported parameter back; it is used
/// again only for the same role, database, verifier and start-up parameters, after a check that the role may still log
/// in with that verifier. DISCARD ALL leaves behind: the seed of random(), libraries that were LOADed, and global
/// variables of procedural languages; a session that names setseed, LOAD or DO in a query closes its connection.
///
/// A success whose synchronous wait was cut short (PostgreSQL says so by a warning of SyncRepWaitForLSN) never reaches
/// a client as success: the session ends with an error of unknown outcome (40003). A cancel waits while its backend
/// waits for a standby.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "components/multipooler/manager/serving_state.h"

namespace mg::multipooler {

struct PoolOptions {
  std::string socket_path;  ///< of this endpoint; its directory is made 0700 when missing
  int capacity = 100;       ///< server connections, used and idle
  int queue_limit = 1000;   ///< sessions that wait for one
  absl::Duration queue_timeout = absl::Seconds(10);
  absl::Duration dial_timeout = absl::Seconds(5);
  absl::Duration idle_timeout = absl::Minutes(5);
  absl::Duration max_lifetime = absl::Hours(1);
};

struct PoolCounters {
  std::int64_t sessions = 0, server_connections = 0, idle = 0, waiting = 0, opened = 0, reused = 0, discarded = 0;
};

/// What a role may do, from pg_authid.
struct RoleCredentials {
  bool exists = false;
  bool can_login = false;
  bool replication = false;
  std::string verifier;  ///< empty: no password, or one that is no longer valid
};

/// Owns one thread for all relays. Start and the destructor are called by one thread; the rest from any.
class PoolServer {
 public:
  /// `serving` must outlive the server.
  static std::unique_ptr<PoolServer> Create(PoolOptions options, PostgresEndpoint postgres, ServingState* serving);
  virtual ~PoolServer() = default;  ///< ends every session (57P01) and removes the socket
  virtual absl::Status Start() = 0;
  virtual PoolCounters counters() const = 0;
  /// Looks a role up; blocking, within the deadline.
  virtual absl::StatusOr<RoleCredentials> Credentials(const std::string& role, absl::Time deadline) = 0;
};

}  // namespace mg::multipooler
