#include "components/multipooler/pool/pool_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <list>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/log/throttle.h"
#include "common/pgwire/message.h"
#include "common/status/status.h"
#include "components/multipooler/pool/connection_pool.h"
#include "components/multipooler/pool/read_gate.h"
#include "components/multipooler/pool/rest_listeners.h"
#include "components/multipooler/pool/session.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
/// How often sessions that are being drained are looked at: their ends are many small events.
constexpr auto kDrainLook = std::chrono::milliseconds(2);
/// How often sessions that come to rest are looked at, and by how much longer than it took nothing is asked.
constexpr auto kLearnLook = std::chrono::milliseconds(25);
constexpr int kLearnShare = 4;
constexpr auto kLearnBound = std::chrono::seconds(1);
constexpr auto kCheckInterval = std::chrono::seconds(10);
constexpr auto kSyncRepLook = std::chrono::milliseconds(20);
constexpr auto kSyncRepBound = std::chrono::seconds(30);
/// For sessions to tell their clients at the end of the server; then they are cut off.
constexpr auto kEndBound = std::chrono::milliseconds(200);
/// The manager waits this long at most for the loop to have heard of a change.
constexpr auto kServingBound = std::chrono::seconds(1);

std::string Refusal(const std::string& code, const std::string& message) {
  return pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message});
}

/// Runs on the look-ups' thread: the call blocks. Not knowing is "no".
asio::awaitable<bool> WaitsForStandbyBlocking(RoleDirectory* roles, std::uint32_t pid) {
  absl::StatusOr<bool> waits = roles->WaitsForStandby(pid, absl::Now() + absl::Seconds(2));
  co_return waits.ok() && *waits;
}

class PoolServerImpl final : public PoolServer, public SessionHost {
 public:
  PoolServerImpl(PoolOptions options, PostgresEndpoint postgres, ServingState* serving)
      : options_(std::move(options)),
        postgres_(std::move(postgres)),
        serving_(serving),
        acceptor_(loop_),
        check_timer_(loop_),
        roles_(postgres_),
        gate_(loop_, options_.confirm_commits),
        pool_(loop_, lookups_, roles_, options_, postgres_),
        rest_listeners_(loop_) {
    pool_.changed = [this] { UpdateCounters(); };
  }

  ~PoolServerImpl() override {
    subscription_.reset();
    if (thread_.joinable()) {
      std::future<void> drained = drained_.get_future();
      asio::post(loop_, [this] {
        error_code ignored;
        acceptor_.close(ignored);
        check_timer_.cancel();
        stopping_ = true;
        gate_.Stop();
        pool_.Stop();
        rest_listeners_.Stop();
        for (const auto& session : sessions_) {
          if (!session->Leave(/*ask=*/false)) {
            session->End("57P01", "terminating connection due to administrator command");
          }
        }
        NoticeDrained();
      });
      drained.wait_for(kEndBound);
      loop_.stop();
      thread_.join();
      ::unlink(options_.socket_path.c_str());
    }
    lookups_.stop();
    lookups_.join();
  }

  absl::Status Start() override {
    MG_RETURN_IF_ERROR(EnsurePrivateDirectory(DirName(options_.socket_path), 0700));
    if (options_.socket_path.size() > 107) {
      return absl::InvalidArgumentError(
          absl::StrCat("the socket path ", options_.socket_path, " is longer than 107 bytes"));
    }
    ::unlink(options_.socket_path.c_str());
    error_code error;
    acceptor_.open(asio::local::stream_protocol(), error);
    mode_t mask = ::umask(0177);
    if (!error) {
      acceptor_.bind(asio::local::stream_protocol::endpoint(options_.socket_path), error);
    }
    ::umask(mask);
    if (!error) {
      acceptor_.listen(SOMAXCONN, error);
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("listen on ", options_.socket_path, ": ", error.message()));
    }
    asio::co_spawn(loop_, Accept(), asio::detached);
    asio::co_spawn(loop_, CheckIdle(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
    subscription_ = serving_->Subscribe([this](const Serving& now) { OnServing(now); });
    return absl::OkStatus();
  }

  PoolCounters counters() const override {
    std::lock_guard lock(counters_mutex_);
    return counters_;
  }

  absl::StatusOr<RoleState> Look(const std::string& role, const std::string& database, absl::Time deadline) override {
    return roles_.Look(role, database, deadline);
  }

  // SessionHost.
  asio::io_context& loop() override { return loop_; }
  relay::Scratch& scratch() override { return scratch_; }
  std::string& output() override {
    output_.clear();
    return output_;
  }

  std::string RefuseMode(bool read_only) const override {
    Serving now = serving_->current();
    ServingMode wanted = read_only ? ServingMode::kReadOnly : ServingMode::kReadWrite;
    return now.mode == wanted && !now.draining && !stopping_
               ? ""
               : Refusal(pgwire::kNotServing, "this pooler does not serve that now");
  }

  asio::awaitable<LoginResult> Acquire(pgwire::Handoff handoff) override {
    co_return co_await pool_.Acquire(std::move(handoff));
  }

  void Release(std::unique_ptr<ServerConnection> connection, bool clean) override {
    pool_.Release(std::move(connection), clean);
  }

  asio::awaitable<void> Cancel(std::uint32_t pid, std::uint32_t secret) override {
    // A cancelled wait for a standby would answer success for what may be on one node only; so the cancel waits with
    // it.
    Clock::time_point bound = Clock::now() + kSyncRepBound;
    for (;;) {
      std::shared_ptr<Session> session = Find(pid, secret);
      if (session == nullptr) {
        co_return;  // ended, or never was: nobody else's query is touched
      }
      auto asking = WaitsForStandbyBlocking(&roles_, pid);
      bool waits = co_await asio::co_spawn(lookups_, std::move(asking), asio::use_awaitable);
      if (!waits || Clock::now() >= bound || stopping_) {
        break;
      }
      asio::steady_timer timer(loop_, kSyncRepLook);
      error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    std::shared_ptr<Session> session = Find(pid, secret);
    if (session != nullptr) {
      co_await SendCancel(loop_, postgres_, pid, session->server()->secret);
    }
  }

  void AwaitsLearning() override {
    if (!std::exchange(learning_, true)) {
      asio::co_spawn(loop_, LearnStates(), asio::detached);
    }
  }

  void Listens(const std::string& gateway, LocalSocket socket) override {
    if (!stopping_) {
      rest_listeners_.Add(gateway, std::move(socket));
      for (const auto& session : sessions_) {
        session->TellRest(gateway);
      }
    }
  }

  void TellRest(const std::string& gateway, const pgwire::RestNote& note) override {
    rest_listeners_.Tell(gateway, pgwire::EncodeRestNote(note));
  }

  ReadGate& gate() override { return gate_; }
  std::list<Session*>& in_flight() override { return in_flight_; }
  void DatabasesChange() override { pool_.YieldDatabases(); }
  void RolesChanged() override { asio::co_spawn(loop_, pool_.RevalidateIdle(), asio::detached); }

 private:
  void UpdateCounters() {
    ConnectionPool::Counts counts = pool_.counts();
    std::lock_guard lock(counters_mutex_);
    counters_ = {.sessions = static_cast<std::int64_t>(sessions_.size()),
                 .server_connections = counts.connections,
                 .idle = counts.idle,
                 .waiting = counts.waiting,
                 .opened = counts.opened,
                 .reused = counts.reused,
                 .discarded = counts.discarded};
  }

  void NoticeDrained() {
    if (stopping_ && sessions_.empty() && !drained_told_) {
      drained_told_ = true;
      drained_.set_value();
    }
  }

  std::shared_ptr<Session> Find(std::uint32_t pid, std::uint32_t secret) const {
    for (const auto& session : sessions_) {
      if (session->Is(pid, secret)) {
        return session;
      }
    }
    return nullptr;
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
        if (std::optional<std::int64_t> untold = accept_faults_.Next(); untold.has_value()) {
          log::Warn("accept failed", {{"error", error.message()}, {"untold", *untold}});
        }
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
      UpdateCounters();
      asio::co_spawn(loop_, session->Run(), [this, session](std::exception_ptr failed) {
        if (failed) {
          log::Error("a session ended by an exception");
        }
        sessions_.erase(session);
        UpdateCounters();
        NoticeDrained();
      });
    }
  }

  asio::awaitable<void> CheckIdle() {
    error_code error;
    while (!error) {
      check_timer_.expires_after(kCheckInterval);
      co_await check_timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      if (!error) {
        pool_.CloseExpired();
        co_await pool_.RevalidateIdle();
      }
    }
  }

  // Ends when every session's state is known, or the session will rest first.
  asio::awaitable<void> LearnStates() {
    asio::steady_timer pause(loop_);
    error_code error;
    for (bool more = true; more && !stopping_;) {
      pause.expires_after(kLearnLook);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      more = false;
      std::vector<std::weak_ptr<Session>> ripe;
      for (const auto& session : sessions_) {
        more |= session->AwaitsLearning();
        if (session->MayLearn(Clock::now())) {
          ripe.push_back(session);
        }
      }
      co_await LearnOneByOne(std::move(ripe));
    }
    learning_ = false;
  }

  // Never for more than a part of the time, so that it costs those little who work. One whose server does not answer
  // holds the others up for a moment only.
  asio::awaitable<void> LearnOneByOne(std::vector<std::weak_ptr<Session>> ripe) {
    asio::steady_timer pause(loop_);
    error_code error;
    for (const auto& weak : ripe) {
      Clock::time_point began = Clock::now();
      std::shared_ptr<Session> session = weak.lock();
      if (session == nullptr || stopping_ || !session->MayLearn(began)) {
        continue;
      }
      auto learnt = std::make_shared<asio::steady_timer>(loop_, kLearnBound);
      asio::co_spawn(loop_, session->Learn(),
                     [learnt](std::exception_ptr) { learnt->expires_at(Clock::time_point::min()); });
      session.reset();
      co_await learnt->async_wait(asio::redirect_error(asio::use_awaitable, error));
      pause.expires_after((Clock::now() - began) * kLearnShare);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  // A leader's sessions go on at the next one; those of a standby begin anew at another.
  void Drain() {
    Load load;
    bool standby = serving_->current().mode == ServingMode::kReadOnly;
    for (const auto& session : sessions_) {
      if (session->read_only() != standby) {
        continue;
      }
      if (!standby) {
        session->Drain();
      } else if (session->activity() == Session::Activity::kResting) {
        session->End("57P01", "terminating connection: this node is taken out of service");
      }
      load.statements += session->activity() == Session::Activity::kStatement ? 1 : 0;
      load.transactions += session->activity() == Session::Activity::kTransaction ? 1 : 0;
    }
    serving_->Report(load);
  }

  asio::awaitable<void> DrainOn() {
    asio::steady_timer pause(loop_);
    error_code error;
    while (draining_ && !stopping_) {
      pause.expires_after(kDrainLook);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      if (draining_) {
        Drain();
      }
    }
  }

  /// Any thread. The manager waits for this: when it returns, nothing that is no longer allowed is under way.
  void OnServing(const Serving& now) {
    auto heard = std::make_shared<std::promise<void>>();
    std::future<void> done = heard->get_future();
    gate_.Bar(now.mode != ServingMode::kReadWrite);  // at once, however busy the loop is
    asio::post(loop_, [this, now, heard] {
      gate_.Barred();
      for (const auto& session : sessions_) {
        ServingMode needed = session->read_only() ? ServingMode::kReadOnly : ServingMode::kReadWrite;
        if (now.mode != needed && session->server() != nullptr && !session->Leave(/*ask=*/true)) {
          session->End("57P01", "terminating connection: this node does not serve it any more");
        }
      }
      bool drains = now.draining;
      if (drains && !std::exchange(draining_, true)) {
        Drain();
        asio::co_spawn(loop_, DrainOn(), asio::detached);
      }
      draining_ = drains;
      if (now.mode == ServingMode::kNone) {
        pool_.CloseIdle();
      }
      heard->set_value();
    });
    if (done.wait_for(kServingBound) != std::future_status::ready) {
      log::Error("the pool's loop did not hear of the new mode in time");
    }
  }

  const PoolOptions options_;
  const PostgresEndpoint postgres_;
  ServingState* const serving_;
  std::list<Session*> in_flight_;  ///< before the loop, whose end ends the last sessions
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(loop_);
  asio::thread_pool lookups_{1};
  asio::local::stream_protocol::acceptor acceptor_;
  asio::steady_timer check_timer_;
  log::Throttle accept_faults_;
  relay::Scratch scratch_;
  std::string output_;
  RoleDirectory roles_;
  ReadGate gate_;
  ConnectionPool pool_;
  RestListeners rest_listeners_;
  std::set<std::shared_ptr<Session>> sessions_;
  bool stopping_ = false;
  bool draining_ = false;
  bool learning_ = false;
  bool drained_told_ = false;
  std::promise<void> drained_;
  std::thread thread_;
  std::unique_ptr<ServingState::Subscription> subscription_;
  mutable std::mutex counters_mutex_;
  PoolCounters counters_;
};

}  // namespace

std::unique_ptr<PoolServer> PoolServer::Create(PoolOptions options, PostgresEndpoint postgres, ServingState* serving) {
  return std::make_unique<PoolServerImpl>(std::move(options), std::move(postgres), serving);
}

}  // namespace mg::multipooler
