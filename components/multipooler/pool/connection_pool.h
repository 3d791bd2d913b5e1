/// The server connections: those in use are counted, idle ones are kept, who finds none waits in a queue. On the
/// pool's loop thread only; look-ups run on the thread pool that it is given.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "components/multipooler/pool/pool_server.h"
#include "components/multipooler/pool/role_directory.h"
#include "components/multipooler/pool/server_connection.h"

namespace mg::multipooler {

class ConnectionPool {
 public:
  /// All references must outlive the pool.
  ConnectionPool(asio::io_context& loop, asio::thread_pool& lookups, RoleDirectory& roles, const PoolOptions& options,
                 const PostgresEndpoint& postgres);

  /// A connection for the session: one that was used before, or a new one; may wait in the queue. Else the refusal.
  asio::awaitable<LoginResult> Acquire(pgwire::Handoff handoff);
  /// Takes it back. `clean`: it is as after its login, and may be used again.
  void Release(std::unique_ptr<ServerConnection> connection, bool clean);

  void CloseIdle();
  /// A database is about to be changed, which connections to it would forbid: closes the idle ones, and keeps none for
  /// as long as PostgreSQL waits for others to leave (5 s).
  void YieldDatabases();
  /// Closes idle connections whose role, or what it may do, is another than at their login.
  asio::awaitable<void> RevalidateIdle();
  void CloseExpired();
  /// Nothing is kept and nobody waits any more.
  void Stop();

  struct Counts {
    std::int64_t connections = 0, idle = 0, waiting = 0, opened = 0, reused = 0, discarded = 0;
  };
  Counts counts() const;
  /// Called after each change of the counts; set before the first use.
  std::function<void()> changed = [] {};

 private:
  struct Waiter {
    Waiter(asio::io_context& loop, const std::string& k) : timer(loop), key(k) {}
    asio::steady_timer timer;
    const std::string& key;
    bool granted = false;
    std::unique_ptr<ServerConnection> connection;  ///< handed over; without one the grant is the room for a new one
  };

  asio::awaitable<absl::StatusOr<RoleState>> Look(std::string role, std::string database);
  std::unique_ptr<ServerConnection> TakeIdle(const std::string& key, const RoleState& state);
  bool Usable(ServerConnection& connection, const RoleState& state) const;
  asio::awaitable<bool> WaitForRoom(const std::string& key, std::unique_ptr<ServerConnection>* handed_over);
  void Close(std::unique_ptr<ServerConnection> connection);
  /// One connection fewer: the first in the queue may open one.
  void FreeRoom();

  asio::io_context& loop_;
  asio::thread_pool& lookups_;
  RoleDirectory& roles_;
  const PoolOptions& options_;
  const PostgresEndpoint& postgres_;
  std::deque<std::unique_ptr<ServerConnection>> idle_;  ///< oldest first
  std::deque<Waiter*> queue_;
  int connections_ = 0;  ///< in use, idle, and being opened
  Clock::time_point keep_none_until_;
  bool revalidating_ = false, revalidate_again_ = false;
  bool stopping_ = false;
  std::int64_t opened_ = 0, reused_ = 0, discarded_ = 0;
};

}  // namespace mg::multipooler
