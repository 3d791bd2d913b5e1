/// One connection to PostgreSQL, logged in as a client's role by its SCRAM keys. On the pool's loop thread only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "common/pgwire/handoff.h"
#include "components/multipooler/manager/serving_state.h"

namespace mg::multipooler {

namespace asio = boost::asio;
using LocalSocket = asio::local::stream_protocol::socket;
/// To PostgreSQL: its Unix socket, or TCP.
using ServerSocket = asio::generic::stream_protocol::socket;
using Clock = std::chrono::steady_clock;

struct ServerConnection {
  explicit ServerConnection(asio::io_context& loop) : socket(loop) {}
  ServerSocket socket;
  std::string key;  ///< what must be equal for it to be used again
  std::string role, database, verifier;
  std::string fingerprint;                                  ///< RoleState's at the login; empty: it is not used again
  std::map<std::string, std::string> at_login, parameters;  ///< reported parameters
  std::uint32_t pid = 0, secret = 0;
  char transaction = 'I';
  std::string notices;  ///< whole messages that came with the login, for the first session
  Clock::time_point opened, idle_since;
};

/// How a login went: a connection, or the message that ends the client's login (PostgreSQL's own ErrorResponse, or
/// ours).
struct LoginResult {
  std::unique_ptr<ServerConnection> connection;
  std::string error;  ///< whole ErrorResponse
};

std::string KeyOf(const pgwire::Handoff& handoff);
/// Connects and logs in within the bound.
asio::awaitable<LoginResult> OpenServerConnection(asio::io_context& loop, const PostgresEndpoint& postgres,
                                                  const pgwire::Handoff& handoff, std::chrono::milliseconds bound);
/// Sends a CancelRequest for a backend; returns when PostgreSQL has dealt with it, at most after some seconds.
asio::awaitable<void> SendCancel(asio::io_context& loop, const PostgresEndpoint& postgres, std::uint32_t pid,
                                 std::uint32_t secret);

}  // namespace mg::multipooler
