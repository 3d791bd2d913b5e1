#include "components/multipooler/pool/connection_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/pgwire/message.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
constexpr absl::Duration kLookBound = absl::Seconds(3);
/// PostgreSQL waits 5 s for other sessions to leave a database that is dropped, renamed or copied.
constexpr auto kYield = std::chrono::seconds(6);

std::chrono::milliseconds Milliseconds(absl::Duration d) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(d));
}

/// Runs on the look-ups' thread: the call blocks.
asio::awaitable<absl::StatusOr<RoleState>> LookBlocking(RoleDirectory* roles, std::string role, std::string database) {
  co_return roles->Look(role, database, absl::Now() + kLookBound);
}

/// Nothing has come on an idle connection: PostgreSQL would have said why it ends.
bool Silent(ServerConnection& connection) {
  char byte = 0;
  ssize_t n = ::recv(connection.socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

ConnectionPool::ConnectionPool(asio::io_context& loop, asio::thread_pool& lookups, RoleDirectory& roles,
                               const PoolOptions& options, const PostgresEndpoint& postgres)
    : loop_(loop), lookups_(lookups), roles_(roles), options_(options), postgres_(postgres) {}

ConnectionPool::Counts ConnectionPool::counts() const {
  return {.connections = connections_,
          .idle = static_cast<std::int64_t>(idle_.size()),
          .waiting = static_cast<std::int64_t>(queue_.size()),
          .opened = opened_,
          .reused = reused_,
          .discarded = discarded_};
}

asio::awaitable<absl::StatusOr<RoleState>> ConnectionPool::Look(std::string role, std::string database) {
  auto looking = LookBlocking(&roles_, std::move(role), std::move(database));
  co_return co_await asio::co_spawn(lookups_, std::move(looking), asio::use_awaitable);
}

bool ConnectionPool::Usable(ServerConnection& connection, const RoleState& state) const {
  return state.can_login && state.verifier == connection.verifier && !connection.fingerprint.empty() &&
         state.fingerprint == connection.fingerprint && Silent(connection);
}

std::unique_ptr<ServerConnection> ConnectionPool::TakeIdle(const std::string& key, const RoleState& state) {
  // The newest first: the others grow old and are closed.
  for (size_t i = idle_.size(); i-- > 0;) {
    if (idle_[i]->key != key) {
      continue;
    }
    std::unique_ptr<ServerConnection> found = std::move(idle_[i]);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    if (Usable(*found, state)) {
      return found;
    }
    Close(std::move(found));
    FreeRoom();
  }
  return nullptr;
}

asio::awaitable<LoginResult> ConnectionPool::Acquire(pgwire::Handoff handoff) {
  const std::string key = KeyOf(handoff);
  std::string role = handoff.parameters["user"], database = handoff.parameters["database"];
  LoginResult result;
  // When nothing can be looked up, PostgreSQL itself says why at the login; the connection is then not used again.
  absl::StatusOr<RoleState> state = co_await Look(role, database);
  if (state.ok()) {
    result.connection = TakeIdle(key, *state);
  }
  if (result.connection == nullptr) {
    bool room = co_await WaitForRoom(key, &result.connection);
    if (!room) {
      result.error = pgwire::ErrorMessage({.severity = "FATAL",
                                           .code = "53300",
                                           .message = "sorry, too many clients already",
                                           .detail = "All server connections of the pool are in use.",
                                           .hint = "Raise --connpool-global-capacity and max_connections."});
      co_return result;
    }
    if (result.connection != nullptr) {
      state = co_await Look(role, database);  // the wait may have been long
      if (!state.ok() || !Usable(*result.connection, *state)) {
        Close(std::exchange(result.connection, nullptr));  // its room is ours
      }
    }
  }
  if (result.connection != nullptr) {
    ++reused_;
    changed();
    co_return result;
  }
  result = co_await OpenServerConnection(loop_, postgres_, handoff, Milliseconds(options_.dial_timeout));
  if (result.connection == nullptr) {
    FreeRoom();
  } else {
    ++opened_;
    // Looked up before the login: a change in between makes it look outdated, never the other way round.
    result.connection->fingerprint = state.ok() && state->verifier == handoff.verifier ? state->fingerprint : "";
  }
  co_return result;
}

asio::awaitable<bool> ConnectionPool::WaitForRoom(const std::string& key,
                                                  std::unique_ptr<ServerConnection>* handed_over) {
  if (stopping_) {
    co_return false;
  }
  if (connections_ < options_.capacity && queue_.empty()) {
    ++connections_;
    changed();
    co_return true;
  }
  if (!idle_.empty() && queue_.empty()) {
    Close(std::move(idle_.front()));  // somebody else's, the oldest; its room is ours
    idle_.pop_front();
    co_return true;
  }
  if (static_cast<int>(queue_.size()) >= options_.queue_limit) {
    co_return false;
  }
  Waiter waiter(loop_, key);
  waiter.timer.expires_after(Milliseconds(options_.queue_timeout));
  queue_.push_back(&waiter);
  changed();
  error_code ignored;
  co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  std::erase(queue_, &waiter);
  changed();
  *handed_over = std::move(waiter.connection);
  co_return waiter.granted;
}

void ConnectionPool::FreeRoom() {
  for (Waiter* waiter : queue_) {
    if (!waiter->granted && !stopping_) {
      waiter->granted = true;  // the room passes to it
      waiter->timer.cancel();
      return;
    }
  }
  --connections_;
  changed();
}

void ConnectionPool::Release(std::unique_ptr<ServerConnection> connection, bool clean) {
  if (connection == nullptr) {
    ++discarded_;
    FreeRoom();
    return;
  }
  bool keep = clean && !stopping_ && !connection->fingerprint.empty() &&
              Clock::now() - connection->opened < Milliseconds(options_.max_lifetime) &&
              Clock::now() >= keep_none_until_;
  auto next = std::find_if(queue_.begin(), queue_.end(), [](const Waiter* waiter) { return !waiter->granted; });
  if (keep && next == queue_.end()) {
    connection->idle_since = Clock::now();
    idle_.push_back(std::move(connection));
    changed();
    return;
  }
  if (keep && (*next)->key == connection->key) {
    (*next)->connection = std::move(connection);
    FreeRoom();
    return;
  }
  Close(std::move(connection));
  FreeRoom();
}

void ConnectionPool::Close(std::unique_ptr<ServerConnection> connection) {
  ++discarded_;
  static constexpr char kTerminate[] = {'X', 0, 0, 0, 4};
  error_code ignored;
  connection->socket.non_blocking(true, ignored);
  connection->socket.write_some(asio::buffer(kTerminate), ignored);
}

void ConnectionPool::CloseIdle() {
  while (!idle_.empty()) {
    Close(std::move(idle_.front()));
    idle_.pop_front();
    FreeRoom();
  }
}

void ConnectionPool::YieldDatabases() {
  keep_none_until_ = Clock::now() + kYield;
  CloseIdle();
}

void ConnectionPool::CloseExpired() {
  for (size_t i = 0; i < idle_.size();) {
    bool expired = Clock::now() - idle_[i]->idle_since > Milliseconds(options_.idle_timeout) ||
                   Clock::now() - idle_[i]->opened > Milliseconds(options_.max_lifetime) || !Silent(*idle_[i]);
    if (!expired) {
      ++i;
      continue;
    }
    Close(std::move(idle_[i]));
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    FreeRoom();
  }
}

asio::awaitable<void> ConnectionPool::RevalidateIdle() {
  revalidate_again_ = true;
  if (revalidating_) {
    co_return;  // the one under way begins anew
  }
  revalidating_ = true;
  while (std::exchange(revalidate_again_, false) && !stopping_) {
    std::map<std::pair<std::string, std::string>, RoleState> states;
    for (const auto& connection : idle_) {
      states[{connection->role, connection->database}];
    }
    for (auto& [who, state] : states) {
      std::string role = who.first, database = who.second;
      absl::StatusOr<RoleState> found = co_await Look(role, database);
      if (!found.ok()) {
        log::Debug("idle connections could not be checked", {{"error", found.status()}});
        continue;  // PostgreSQL is away: what is idle has ended, or is asked again before it is used
      }
      for (size_t i = 0; i < idle_.size();) {
        ServerConnection& connection = *idle_[i];
        if (connection.role != role || connection.database != database || Usable(connection, *found)) {
          ++i;
          continue;
        }
        Close(std::move(idle_[i]));
        idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
        FreeRoom();
      }
    }
  }
  revalidating_ = false;
}

void ConnectionPool::Stop() {
  stopping_ = true;
  CloseIdle();
  for (Waiter* waiter : queue_) {
    waiter->timer.cancel();
  }
}

}  // namespace mg::multipooler
