/// The pooler's PostgreSQL endpoint for gateways: a private Unix socket, pooled server connections, session pooling.
///
/// A session holds one server connection from its login to its end. Afterwards the connection is kept only when the
/// session left it idle between messages and ROLLBACK, DISCARD ALL brought every reported parameter back; it is used
/// again only for the same role, database, verifier and start-up parameters, and only while a new login would find the
/// same role, settings, rights, database and configuration files (RoleState::fingerprint).
///
/// DISCARD ALL leaves behind, and this is what becomes of it:
/// - the seed of random(): a new one is set, as a new connection has;
/// - parameters of somebody's own (SET app.user, set_config), libraries that were LOADed, replication origins: a
/// session
///   whose statements name such closes its connection, and so does every session of a database that has functions which
///   do;
/// - global variables of procedural languages other than PL/pgSQL, connections of dblink and postgres_fdw: every
/// session
///   of a database that has these closes its connection;
/// - what nobody but the backend notices: caches, libraries that functions loaded, the empty temporary schema.
/// Calls by function number (the fast path, used for large objects) close it too.
///
/// Idle connections end by themselves when a statement seen here changes databases (they would forbid it) or the role
/// (password, NOLOGIN, DROP ROLE), and are checked in any case before they are used.
///
/// A success whose synchronous wait was cut short (PostgreSQL says so by a warning of SyncRepWaitForLSN) never reaches
/// a client as success: the session ends with an error of unknown outcome (40003). A cancel waits while its backend
/// waits for a standby. Nor do other sessions' clients see what such a commit made visible before its standbys have it:
/// see ReadGate. A session that names client_min_messages may get no warning: its answers that took long are taken for
/// answers of such commits. What a role's or a database's settings, or functions, do to that parameter is not seen.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "components/multipooler/manager/serving_state.h"
#include "components/multipooler/pool/role_directory.h"

namespace mg::multipooler {

struct PoolOptions {
  std::string socket_path;  ///< of this endpoint; its directory is made 0700 when missing
  int capacity = 100;       ///< server connections, used and idle
  int queue_limit = 1000;   ///< sessions that wait for one
  absl::Duration queue_timeout = absl::Seconds(10);
  absl::Duration dial_timeout = absl::Seconds(5);
  absl::Duration idle_timeout = absl::Minutes(5);
  absl::Duration max_lifetime = absl::Hours(1);
  /// ReadGate::Confirm; must end soon after the manager has been stopped.
  std::function<absl::Status()> confirm_commits;
};

struct PoolCounters {
  std::int64_t sessions = 0, server_connections = 0, idle = 0, waiting = 0, opened = 0, reused = 0, discarded = 0;
};

/// Owns one thread for all relays and one for look-ups. Start and the destructor are called by one thread; the rest
/// from any.
class PoolServer {
 public:
  /// `serving` must outlive the server.
  static std::unique_ptr<PoolServer> Create(PoolOptions options, PostgresEndpoint postgres, ServingState* serving);
  /// Hands sessions back whose state is known, ends the others (57P01), and removes the socket.
  virtual ~PoolServer() = default;
  virtual absl::Status Start() = 0;
  virtual PoolCounters counters() const = 0;
  /// Looks a role up; blocking, within the deadline.
  virtual absl::StatusOr<RoleState> Look(const std::string& role, const std::string& database, absl::Time deadline) = 0;
};

}  // namespace mg::multipooler
