#include "components/multipooler/pool/pool_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <deque>
#include <list>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/pgwire/client.h"
#include "common/pgwire/message.h"
#include "common/status/status.h"
#include "components/multipooler/pool/session.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
constexpr auto kPruneInterval = std::chrono::seconds(10);
constexpr auto kSyncRepLook = std::chrono::milliseconds(20);
constexpr auto kSyncRepBound = std::chrono::seconds(30);

std::string Refusal(const std::string& code, const std::string& message) {
  return pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message});
}

class PoolServerImpl final : public PoolServer, public SessionHost {
 public:
  PoolServerImpl(PoolOptions options, PostgresEndpoint postgres, ServingState* serving)
      : options_(std::move(options)),
        postgres_(std::move(postgres)),
        serving_(serving),
        acceptor_(loop_),
        prune_timer_(loop_) {}

  ~PoolServerImpl() override {
    subscription_.reset();
    if (thread_.joinable()) {
      asio::post(loop_, [this] {
        error_code ignored;
        acceptor_.close(ignored);
        prune_timer_.cancel();
        for (const auto& session : sessions_) {
          session->End("57P01", "terminating connection due to administrator command");
        }
        idle_.clear();
        for (Waiter* waiter : queue_) {
          waiter->timer.cancel();
        }
        stopping_ = true;
        work_.reset();
      });
      thread_.join();
      ::unlink(options_.socket_path.c_str());
    }
  }

  absl::Status Start() override {
    MG_RETURN_IF_ERROR(EnsurePrivateDirectory(DirName(options_.socket_path), 0700));
    ::unlink(options_.socket_path.c_str());
    if (options_.socket_path.size() > 107) {
      return absl::InvalidArgumentError(
          absl::StrCat("the socket path ", options_.socket_path, " is longer than 107 bytes"));
    }
    error_code error;
    acceptor_.open(asio::local::stream_protocol(), error);
    mode_t mask = ::umask(0177);
    if (!error) {
      acceptor_.bind(asio::local::stream_protocol::endpoint(options_.socket_path), error);
    }
    ::umask(mask);
    if (!error) {
      acceptor_.listen(512, error);
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("listen on ", options_.socket_path, ": ", error.message()));
    }
    asio::co_spawn(loop_, Accept(), asio::detached);
    asio::co_spawn(loop_, Prune(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
    subscription_ = serving_->Subscribe([this](const Serving& now) { OnServing(now); });
    return absl::OkStatus();
  }

  PoolCounters counters() const override {
    std::lock_guard lock(counters_mutex_);
    return counters_;
  }

  absl::StatusOr<RoleCredentials> Credentials(const std::string& role, absl::Time deadline) override {
    std::lock_guard lock(admin_mutex_);
    for (bool retry : {true, false}) {
      if (admin_ == nullptr) {
        MG_ASSIGN_OR_RETURN(std::string password, postgres_.password());
        MG_ASSIGN_OR_RETURN(admin_, pgwire::Client::Connect({.host = postgres_.socket_directory,
                                                             .port = postgres_.port,
                                                             .user = postgres_.superuser,
                                                             .database = postgres_.database,
                                                             .password = password,
                                                             .application_name = "multipooler-credentials"},
                                                            deadline));
      }
      absl::StatusOr<std::vector<pgwire::Client::Row>> rows = admin_->Query(
          absl::StrCat(
              "SELECT coalesce(rolpassword, ''), rolcanlogin, rolreplication, coalesce(rolvaliduntil < now(), false) "
              "FROM pg_catalog.pg_authid WHERE rolname = ",
              pgwire::QuoteLiteral(role)),
          deadline);
      if (rows.ok()) {
        RoleCredentials result;
        if (!rows->empty() && rows->front().size() == 4) {
          const pgwire::Client::Row& row = rows->front();
          result.exists = true;
          result.can_login = row[1] == "t";
          result.replication = row[2] == "t";
          result.verifier = row[3] == "t" ? "" : row[0].value_or("");
        }
        return result;
      }
      admin_.reset();
      if (!retry) {
        return rows.status();
      }
    }
    return absl::InternalError("unreachable");
  }

  // SessionHost.
  asio::io_context& loop() override { return loop_; }
  const PostgresEndpoint& postgres() const override { return postgres_; }

  std::string RefuseMode(bool read_only) const override {
    Serving now = serving_->current();
    ServingMode wanted = read_only ? ServingMode::kReadOnly : ServingMode::kReadWrite;
    return now.mode == wanted && !now.draining ? ""
                                               : Refusal(pgwire::kNotServing, "this pooler does not serve that now");
  }

  asio::awaitable<LoginResult> Acquire(const pgwire::Handoff& handoff) override {
    std::string key = KeyOf(handoff);
    LoginResult result;
    while (std::unique_ptr<ServerConnection> idle = TakeIdle(key)) {
      // Still the role that it was opened for? PostgreSQL itself is asked only at a login.
      absl::StatusOr<RoleCredentials> role = Credentials(idle->role, absl::Now() + absl::Seconds(2));
      if (role.ok() && role->can_login && role->verifier == idle->verifier && Healthy(*idle)) {
        Count([](PoolCounters& c) { ++c.reused; });
        result.connection = std::move(idle);
        co_return result;
      }
      Drop();
    }
    bool room = co_await WaitForRoom();
    if (!room) {
      result.error = Refusal("53300", "sorry, too many clients already");
      co_return result;
    }
    ++connections_;
    UpdateGauges();
    result = co_await OpenServerConnection(loop_, postgres_, handoff,
                                           std::chrono::milliseconds(absl::ToInt64Milliseconds(options_.dial_timeout)));
    if (result.connection == nullptr) {
      Drop();
    } else {
      Count([](PoolCounters& c) { ++c.opened; });
    }
    co_return result;
  }

  void Release(std::unique_ptr<ServerConnection> connection, bool clean) override {
    bool young =
        connection != nullptr &&
        Clock::now() - connection->opened < std::chrono::milliseconds(absl::ToInt64Milliseconds(options_.max_lifetime));
    if (clean && young && !stopping_ && queue_.empty()) {
      connection->idle_since = Clock::now();
      idle_.push_back(std::move(connection));
      UpdateGauges();
      return;
    }
    if (connection != nullptr) {
      error_code ignored;
      static constexpr char kTerminate[] = {'X', 0, 0, 0, 4};
      connection->socket.non_blocking(true, ignored);
      asio::write(connection->socket, asio::buffer(kTerminate), ignored);
      connection.reset();
    }
    Count([](PoolCounters& c) { ++c.discarded; });
    Drop();
  }

  asio::awaitable<void> Cancel(std::uint32_t pid, std::uint32_t secret) override {
    bool ours = false;
    for (const auto& session : sessions_) {
      ours |= session->backend_pid() == pid && pid != 0;
    }
    if (!ours) {
      co_return;
    }
    // A cancelled wait for a standby would answer success for what may be on one node only; so the cancel waits with
    // it.
    Clock::time_point bound = Clock::now() + kSyncRepBound;
    while (WaitsForStandby(pid) && Clock::now() < bound && !stopping_) {
      asio::steady_timer timer(loop_, kSyncRepLook);
      error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    co_await SendCancel(loop_, postgres_, pid, secret);
  }

 private:
  struct Waiter {
    explicit Waiter(asio::io_context& loop) : timer(loop) {}
    asio::steady_timer timer;
    bool granted = false;
  };

  template <typename Change>
  void Count(Change change) {
    std::lock_guard lock(counters_mutex_);
    change(counters_);
  }

  void UpdateGauges() {
    Count([this](PoolCounters& c) {
      c.sessions = static_cast<std::int64_t>(sessions_.size());
      c.server_connections = connections_;
      c.idle = static_cast<std::int64_t>(idle_.size());
      c.waiting = static_cast<std::int64_t>(queue_.size());
    });
  }

  static bool PeerIsOurs(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == ::geteuid() || peer.uid == 0);
  }

  asio::awaitable<void> Accept() {
    for (;;) {
      error_code error;
      LocalSocket socket(loop_);
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) {
        co_return;
      }
      if (error) {
        log::Warn("accept failed", {{"error", error.message()}});
        asio::steady_timer pause(loop_, std::chrono::milliseconds(50));  // out of descriptors: let some end
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      if (!PeerIsOurs(socket.native_handle())) {
        log::Warn("a connection of another user was refused");
        continue;
      }
      auto session = std::make_shared<Session>(this, std::move(socket));
      sessions_.insert(session);
      UpdateGauges();
      asio::co_spawn(loop_, session->Run(), [this, session](std::exception_ptr failed) {
        if (failed) {
          log::Error("a session ended by an exception");
        }
        sessions_.erase(session);
        UpdateGauges();
      });
    }
  }

  asio::awaitable<void> Prune() {
    error_code error;
    while (!error) {
      prune_timer_.expires_after(kPruneInterval);
      co_await prune_timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      auto limit = std::chrono::milliseconds(absl::ToInt64Milliseconds(options_.idle_timeout));
      for (auto it = idle_.begin(); it != idle_.end() && !error;) {
        if (Clock::now() - (*it)->idle_since > limit) {
          it = idle_.erase(it);
          Drop();
        } else {
          ++it;
        }
      }
    }
  }

  /// Any thread. The manager waits for this: when it returns, nothing that is no longer allowed is begun.
  void OnServing(const Serving& now) {
    asio::post(loop_, [this, now] {
      for (const auto& session : sessions_) {
        ServingMode needed = session->read_only() ? ServingMode::kReadOnly : ServingMode::kReadWrite;
        if (now.mode != needed && session->backend_pid() != 0) {
          session->End("57P01", "terminating connection: this node does not serve it any more");
        }
      }
      if (now.mode == ServingMode::kNone) {
        while (!idle_.empty()) {
          idle_.pop_back();
          Drop();
        }
      }
    });
  }

  std::unique_ptr<ServerConnection> TakeIdle(const std::string& key) {
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if ((*it)->key == key) {
        std::unique_ptr<ServerConnection> found = std::move(*it);
        idle_.erase(std::next(it).base());
        UpdateGauges();
        return found;
      }
    }
    return nullptr;
  }

  /// Nothing has come on an idle connection: PostgreSQL would have said why it ends.
  static bool Healthy(ServerConnection& connection) {
    char byte = 0;
    ssize_t n = ::recv(connection.socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  asio::awaitable<bool> WaitForRoom() {
    if (connections_ >= options_.capacity && !idle_.empty()) {
      idle_.pop_front();  // somebody else's; the oldest
      Drop();
    }
    if (connections_ < options_.capacity && queue_.empty()) {
      co_return true;
    }
    if (static_cast<int>(queue_.size()) >= options_.queue_limit) {
      co_return false;
    }
    Waiter waiter(loop_);
    waiter.timer.expires_after(std::chrono::milliseconds(absl::ToInt64Milliseconds(options_.queue_timeout)));
    queue_.push_back(&waiter);
    UpdateGauges();
    error_code ignored;
    co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    std::erase(queue_, &waiter);
    UpdateGauges();
    co_return waiter.granted;
  }

  /// A server connection is gone; the first in the queue may open one.
  void Drop() {
    --connections_;
    for (Waiter* waiter : queue_) {
      if (!waiter->granted) {
        waiter->granted = true;
        waiter->timer.cancel();
        break;
      }
    }
    UpdateGauges();
  }

  bool WaitsForStandby(std::uint32_t pid) {
    std::lock_guard lock(admin_mutex_);
    if (admin_ == nullptr) {
      return false;
    }
    absl::StatusOr<std::vector<pgwire::Client::Row>> rows =
        admin_->Query(absl::StrCat("SELECT wait_event = 'SyncRep' FROM pg_catalog.pg_stat_activity WHERE pid = ", pid),
                      absl::Now() + absl::Seconds(1));
    if (!rows.ok()) {
      admin_.reset();
      return false;
    }
    return !rows->empty() && rows->front()[0] == "t";
  }

  const PoolOptions options_;
  const PostgresEndpoint postgres_;
  ServingState* const serving_;
  asio::io_context loop_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(loop_);
  asio::local::stream_protocol::acceptor acceptor_;
  asio::steady_timer prune_timer_;
  std::set<std::shared_ptr<Session>> sessions_;
  std::deque<std::unique_ptr<ServerConnection>> idle_;
  std::deque<Waiter*> queue_;
  int connections_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  std::unique_ptr<ServingState::Subscription> subscription_;
  std::mutex admin_mutex_;  ///< guards admin_: the superuser's connection for look-ups
  std::unique_ptr<pgwire::Client> admin_;
  mutable std::mutex counters_mutex_;
  PoolCounters counters_;
};

}  // namespace

std::unique_ptr<PoolServer> PoolServer::Create(PoolOptions options, PostgresEndpoint postgres, ServingState* serving) {
  return std::make_unique<PoolServerImpl>(std::move(options), std::move(postgres), serving);
}

}  // namespace mg::multipooler
