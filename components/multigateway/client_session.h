/// One client: from its first byte to its end. On the gateway's loop thread only.
#pragma once

#include <boost/asio/io_context.hpp>
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
#include "common/relay/pump.h"
#include "components/multigateway/client_stream.h"
#include "components/multigateway/gateway_server.h"
#include "components/multigateway/pooler_link.h"
#include "components/multigateway/stats/session_stats.h"

namespace mg::multigateway {

using LocalSocket = asio::local::stream_protocol::socket;

/// What a session needs of the server.
class ClientHost {
 public:
  virtual ~ClientHost() = default;
  virtual asio::io_context& loop() = 0;
  virtual relay::Scratch& scratch() = 0;
  virtual const GatewayOptions& options() const = 0;
  virtual TlsContext* tls() = 0;  ///< nullptr: none
  virtual const std::string& mock_secret() const = 0;
  virtual PoolerLink& pooler_link() = 0;
  /// As Router::DatabaseFor, with the gateway's own fallback.
  virtual std::optional<std::string> DatabaseFor(const std::string& wanted) = 0;
  virtual asio::awaitable<absl::StatusOr<std::string>> Verifier(std::string database, std::string role) = 0;
  virtual std::optional<clustermetadata::Multipooler> Route(const std::string& database, bool read_only,
                                                            unsigned turn) = 0;
  /// Id of the pooler that read-write sessions of the database go to now; empty: none. Cheap.
  virtual const std::string& PrimaryId(const std::string& database) = 0;
  /// Until the routes change or the bound is over.
  virtual asio::awaitable<void> RoutesChange(std::chrono::milliseconds bound) = 0;
  /// Passes a cancel on, wherever its session is; returns when it was delivered, after a moment at most.
  virtual asio::awaitable<void> CancelRequested(std::uint32_t pid, std::uint32_t secret) = 0;
  /// Reads a session's traffic beside the relay; null: statistics are off.
  virtual std::unique_ptr<stats::SessionStats> NewSessionStats() = 0;
  /// A session is served there from now on; what it holds when it rests will be heard.
  virtual void ServedBy(const PoolerAddress& address) = 0;
  /// By which poolers know whose sessions they serve.
  virtual const std::string& gateway_token() const = 0;
  virtual void CountLogin(bool good) = 0;
  virtual void CountWait() = 0;
  virtual void CountMove() = 0;
};

/// An ErrorResponse that ends a login.
std::string Fatal(const std::string& code, const std::string& message, const std::string& hint = "");

class ClientSession : public std::enable_shared_from_this<ClientSession> {
 public:
  ClientSession(ClientHost* host, tcp::socket socket, bool read_only, std::uint32_t pid, std::uint32_t secret);
  asio::awaitable<void> Run();
  void End();  ///< 57P01, then closed
  /// The routes have changed: a pooler that is being tried and is no longer the one to try is given up. So is one that
  /// serves this session, when another node leads and this pooler, frozen or cut off, does not hand the session back.
  void RoutesChanged();
  /// From the pooler, beside the session's own connection.
  void HeardRest(const pgwire::RestNote& note);

  std::uint32_t secret() const { return secret_; }
  /// Where its query runs, for a cancel; none before it has a server connection.
  struct Backend {
    PoolerAddress address;
    std::uint32_t pid = 0, secret = 0;
  };
  const std::optional<Backend>& backend() const { return backend_; }

 private:
  void EndWith(const std::string& message);
  void TellEnd(const std::string& message);
  void EndIfSuperseded();
  // client_login.cpp
  asio::awaitable<bool> ReadStartup();
  asio::awaitable<bool> Negotiate(std::int32_t code);
  asio::awaitable<bool> TakeStartup(std::string packet);
  asio::awaitable<absl::StatusOr<std::string>> FindVerifier(std::string role);
  asio::awaitable<bool> Authenticate();
  asio::awaitable<bool> ReadPassword(std::string* body);
  asio::awaitable<bool> Send(std::string data);
  asio::awaitable<void> Refuse(std::string answer);

  // client_session.cpp
  asio::awaitable<bool> ConnectBackend();
  enum class Try { kConnected, kRefused, kAgain };
  asio::awaitable<Try> TryBackend(PoolerAddress address);
  asio::awaitable<void> Relay();
  asio::awaitable<void> FromBackend();
  asio::awaitable<error_code> FromClient();
  asio::awaitable<error_code> FromClientOrMoved();
  absl::string_view TakeFromBackend(absl::string_view read, bool* last);

  // client_move.cpp: a session that its pooler has handed back goes on at the next one (see pgwire::ParkMarker).
  asio::awaitable<bool> Move();
  asio::awaitable<bool> TakeBack();
  bool MovesByItself();
  bool StateKnown() const;

  ClientHost* host_;
  ClientStream client_;
  LocalSocket server_;
  const bool read_only_;
  const std::uint32_t pid_, secret_;
  pgwire::Handoff handoff_;
  std::string database_;  ///< of the topology: whose poolers serve this session; chosen once
  std::optional<Backend> backend_;
  std::string trying_;   ///< id of the pooler that is being tried
  std::string serving_;  ///< id of the pooler that serves it
  asio::steady_timer superseded_timer_;
  asio::steady_timer login_timer_;
  bool writing_to_client_ = false, writing_to_server_ = false;
  bool at_ready_ = false;  ///< the last that the client got was ReadyForQuery
  bool ended_ = false;
  bool backend_done_ = false;
  std::string marker_;  ///< by which the pooler hands the session back; empty: it cannot
  std::string held_;    ///< what may be the marker's begin
  std::string joined_;  ///< held_ and what came after it
  /// What the session held when it rested, and after how many bytes; none: it never did at this pooler.
  std::optional<pgwire::RestNote> rest_;
  std::uint64_t heard_ = 0, said_ = 0;          ///< bytes from the client that went to the pooler, and from there
  bool left_ = false;                           ///< the client has said Terminate, or nothing is read of it any more
  bool by_itself_ = false;                      ///< moved without the pooler; what the client says is kept
  bool moved_ = false;                          ///< handed back, and not at the next pooler yet
  std::string unanswered_;                      ///< what the client had said that the old pooler did not pass on
  std::unique_ptr<stats::SessionStats> stats_;  ///< null: off, or not relaying yet
  asio::steady_timer backend_end_;              ///< never ends by itself: cancelled when a direction is over
};

}  // namespace mg::multigateway
