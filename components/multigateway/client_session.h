/// One client: from its first byte to its end. On the gateway's loop thread only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "clustermetadata.pb.h"
#include "common/pgwire/handoff.h"
#include "common/pgwire/message.h"
#include "components/multigateway/gateway_server.h"

namespace mg::multigateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using LocalSocket = asio::local::stream_protocol::socket;

/// What a session needs of the server.
class ClientHost {
 public:
  virtual ~ClientHost() = default;
  virtual asio::io_context& loop() = 0;
  virtual const GatewayOptions& options() const = 0;
  virtual const std::string& mock_secret() const = 0;
  virtual asio::awaitable<absl::StatusOr<std::string>> Verifier(std::string role) = 0;
  virtual std::optional<clustermetadata::Multipooler> Route(bool read_only, unsigned turn) = 0;
  /// Until the routes change or the timer ends.
  virtual asio::awaitable<void> RoutesChange(std::chrono::milliseconds bound) = 0;
  virtual void CancelRequested(std::uint32_t pid, std::uint32_t secret) = 0;
  virtual void CountLogin(bool good) = 0;
  virtual void CountWait() = 0;
};

class ClientSession : public std::enable_shared_from_this<ClientSession> {
 public:
  ClientSession(ClientHost* host, tcp::socket socket, bool read_only, std::uint32_t pid, std::uint32_t secret);
  asio::awaitable<void> Run();
  void End();  ///< 57P01, then closed

  std::uint32_t pid() const { return pid_; }
  std::uint32_t secret() const { return secret_; }
  /// Where its query runs, for a cancel; none before it has a server connection.
  struct Backend {
    std::string socket_path;
    std::uint32_t pid = 0, secret = 0;
  };
  const std::optional<Backend>& backend() const { return backend_; }

 private:
  asio::awaitable<bool> ReadStartup();
  asio::awaitable<bool> Authenticate();
  asio::awaitable<bool> ConnectBackend();
  asio::awaitable<bool> TryBackend(const clustermetadata::Multipooler& pooler, bool* retry);
  asio::awaitable<bool> ReadPassword(std::string* body);
  asio::awaitable<void> Relay();
  asio::awaitable<void> FromBackend();
  asio::awaitable<bool> Send(std::string data);
  asio::awaitable<void> Refuse(std::string code, std::string message, std::string hint = "");

  ClientHost* host_;
  tcp::socket client_;
  LocalSocket server_;
  const bool read_only_;
  const std::uint32_t pid_, secret_;
  pgwire::Handoff handoff_;
  std::optional<Backend> backend_;
  std::string greeting_rest_;  ///< read from the pooler behind its greeting
  asio::steady_timer login_timer_;
  bool backend_done_ = false;
  std::unique_ptr<asio::steady_timer> backend_end_;
};

}  // namespace mg::multigateway
