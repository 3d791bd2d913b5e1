/// The PostgreSQL endpoint for clients: start-up, SCRAM against the role's own verifier, a pooler, and then a relay
/// byte for byte.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "components/multigateway/router.h"
#include "components/multigateway/stats/consolidator.h"
#include "components/multigateway/stats/query_stats.h"

namespace mg::multigateway {

struct GatewayOptions {
  std::string address = "127.0.0.1";
  int port = 5432;
  int replica_port = 0;          ///< 0: none
  std::string default_database;  ///< whose PostgreSQL serves the names that are no database of the topology
  std::uint32_t pid_prefix = 0;  ///< 1 to 2047: bits 20 to 30 of the process ids that clients see
  absl::Duration authentication_timeout = absl::Seconds(60);
  absl::Duration primary_wait = absl::Seconds(10);
  std::string tls_certificate, tls_key;  ///< PEM files; empty: no TLS
  bool require_tls = false;
  std::string hostname;  ///< its own, as poolers on the same machine have it in their records too
  rpc::Dialer dialer;    ///< for gRPC to poolers
  stats::QueryStats::Options query_stats;
  rpc::ClientTls pooler_tls;  ///< for PostgreSQL connections to poolers on other machines
};

struct GatewayCounters {
  std::int64_t sessions = 0, logins = 0, refused = 0, waited = 0, moved = 0;
};

/// Owns one relay thread and two threads for look-ups. An idle session holds no buffers.
class GatewayServer {
 public:
  static std::unique_ptr<GatewayServer> Create(GatewayOptions options, Router* router);
  virtual ~GatewayServer() = default;  ///< as Stop; who has not heard of it soon is cut off
  virtual absl::Status Start() = 0;
  /// Stops accepting and ends every session with 57P01.
  virtual void Stop() = 0;
  /// The topology changed: who waits for a primary looks again. Any thread.
  virtual void RoutesChanged() = 0;
  /// Cancels the query of one of this gateway's own sessions; unknown ids are ignored, as PostgreSQL does. Waits a
  /// moment for it to be delivered. Any thread but the relay's.
  virtual void Cancel(std::uint32_t process_id, std::uint32_t secret) = 0;
  /// What to do with a cancel for another gateway's session; set before Start; called on a look-up thread.
  std::function<void(std::uint32_t process_id, std::uint32_t secret)> forward_cancel;
  virtual GatewayCounters counters() const = 0;
  /// What clients ask, and which prepared statements they hold. Any thread.
  virtual stats::QueryStats& query_stats() = 0;
  virtual const stats::Consolidator& consolidator() const = 0;
};

}  // namespace mg::multigateway
