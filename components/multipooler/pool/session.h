/// One gateway connection: hand-off, a server connection, the relay, and what becomes of the connection afterwards. On
/// the pool's loop thread only.
#pragma once

#include <memory>
#include <string>

#include "common/pgwire/scanner.h"
#include "components/multipooler/pool/server_connection.h"

namespace mg::multipooler {

/// What a session needs of the pool.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual asio::io_context& loop() = 0;
  virtual const PostgresEndpoint& postgres() const = 0;
  /// Empty: the mode is served now; else the refusal.
  virtual std::string RefuseMode(bool read_only) const = 0;
  /// A connection for the session, from the pool or new; may wait in the queue.
  virtual asio::awaitable<LoginResult> Acquire(const pgwire::Handoff& handoff) = 0;
  /// Takes it back; `clean`: it may be used again.
  virtual void Release(std::unique_ptr<ServerConnection> connection, bool clean) = 0;
  virtual asio::awaitable<void> Cancel(std::uint32_t pid, std::uint32_t secret) = 0;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(SessionHost* host, LocalSocket client);
  asio::awaitable<void> Run();
  /// Ends it with an error at the next message boundary; used when the mode that it was begun under is over.
  void End(const std::string& code, const std::string& message);
  bool read_only() const { return read_only_; }
  std::uint32_t backend_pid() const { return server_ == nullptr ? 0 : server_->pid; }

 private:
  asio::awaitable<bool> ReadHandoff(pgwire::Handoff* handoff);
  asio::awaitable<void> Relay();
  asio::awaitable<void> FromServer();
  asio::awaitable<bool> Reset();
  std::string InspectServer(char type, absl::string_view message);
  void BeginClientMessage(char type);
  bool Clean() const;

  SessionHost* host_;
  LocalSocket client_;
  std::unique_ptr<ServerConnection> server_;
  bool read_only_ = false;
  std::string from_client_;  ///< read behind the hand-off
  pgwire::Scanner client_scanner_, server_scanner_;
  int expected_ready_ = 0;   ///< ReadyForQuery messages that are still to come
  bool terminated_ = false;  ///< the client said Terminate
  bool tainted_ = false;     ///< left something that DISCARD ALL does not undo
  bool sync_cut_short_ = false;
  bool poisoned_ = false;  ///< an error of unknown outcome was sent; nothing follows
  bool resetting_ = false;
  bool server_ended_ = false;
  bool reader_done_ = false;
  std::string end_error_;
  std::unique_ptr<asio::steady_timer> reader_end_;
};

}  // namespace mg::multipooler
