#include "components/multigateway/gateway_server.h"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/log/throttle.h"
#include "common/pgwire/scram.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multigateway/client_session.h"
#include "components/multigateway/credentials.h"
#include "components/multigateway/rest_feeds.h"

namespace mg::multigateway {
namespace {

using boost::system::error_code;
constexpr std::uint32_t kCounterBits = 20;
constexpr absl::Duration kLookUpBound = absl::Seconds(3);
constexpr auto kCancelBound = std::chrono::seconds(1);
/// For sessions to hear of the end; then they are cut off.
constexpr auto kEndBound = std::chrono::milliseconds(200);

// On a look-up thread: the calls block.
asio::awaitable<absl::StatusOr<std::string>> LookUp(Credentials* credentials, std::string database, std::string role) {
  co_return credentials->Verifier(database, role, absl::Now() + kLookUpBound);
}
asio::awaitable<void> Forward(const std::function<void(std::uint32_t, std::uint32_t)>* forward, std::uint32_t pid,
                              std::uint32_t secret) {
  (*forward)(pid, secret);
  co_return;
}

class GatewayServerImpl final : public GatewayServer, public ClientHost {
 public:
  GatewayServerImpl(GatewayOptions options, Router* router)
      : options_(std::move(options)),
        router_(router),
        credentials_(router, options_.dialer),
        query_stats_(options_.query_stats),
        mock_secret_(pgwire::RandomBytes(32)) {}

  ~GatewayServerImpl() override {
    if (thread_.joinable()) {
      std::future<void> drained = drained_.get_future();
      Stop();
      drained.wait_for(kEndBound);
      loop_.stop();
      thread_.join();
    }
    lookups_.stop();
    lookups_.join();
  }

  absl::Status Start() override {
    if (!options_.tls_certificate.empty()) {
      MG_ASSIGN_OR_RETURN(tls_, TlsContext::Load(options_.tls_certificate, options_.tls_key));
    }
    MG_ASSIGN_OR_RETURN(link_, PoolerLink::Create(&loop_, options_.hostname, options_.pooler_tls));
    MG_RETURN_IF_ERROR(Listen(options_.port, /*read_only=*/false));
    if (options_.replica_port != 0) {
      MG_RETURN_IF_ERROR(Listen(options_.replica_port, /*read_only=*/true));
    }
    thread_ = std::thread([this] { loop_.run(); });
    return absl::OkStatus();
  }

  void Stop() override {
    asio::post(loop_, [this] {
      error_code ignored;
      for (auto& acceptor : acceptors_) {
        acceptor->close(ignored);
      }
      stopping_ = true;
      for (const auto& [pid, session] : sessions_) {
        session->End();
      }
      WakeWaiters();
      NoticeDrained();
    });
  }

  void RoutesChanged() override {
    asio::post(loop_, [this] {
      primary_ids_.clear();
      for (const auto& [pid, session] : sessions_) {
        session->RoutesChanged();
      }
      WakeWaiters();
    });
  }

  void Cancel(std::uint32_t process_id, std::uint32_t secret) override {
    auto delivered = std::make_shared<std::promise<void>>();
    std::future<void> done = delivered->get_future();
    asio::co_spawn(loop_, CancelOwn(process_id, secret), [delivered](std::exception_ptr) { delivered->set_value(); });
    done.wait_for(kCancelBound);
  }

  GatewayCounters counters() const override {
    std::lock_guard lock(counters_mutex_);
    return counters_;
  }

  stats::QueryStats& query_stats() override { return query_stats_; }
  const stats::Consolidator& consolidator() const override { return consolidator_; }

  // ClientHost.
  std::unique_ptr<stats::SessionStats> NewSessionStats() override {
    return query_stats_.enabled() ? std::make_unique<stats::SessionStats>(&query_stats_, &consolidator_) : nullptr;
  }
  asio::io_context& loop() override { return loop_; }
  const GatewayOptions& options() const override { return options_; }
  const std::string& mock_secret() const override { return mock_secret_; }

  relay::Scratch& scratch() override { return scratch_; }
  TlsContext* tls() override { return tls_.get(); }
  PoolerLink& pooler_link() override { return *link_; }

  std::optional<std::string> DatabaseFor(const std::string& wanted) override {
    return router_->DatabaseFor(wanted, options_.default_database);
  }

  asio::awaitable<absl::StatusOr<std::string>> Verifier(std::string database, std::string role) override {
    auto looking = LookUp(&credentials_, std::move(database), std::move(role));
    co_return co_await asio::co_spawn(lookups_, std::move(looking), asio::use_awaitable);
  }

  std::optional<clustermetadata::Multipooler> Route(const std::string& database, bool read_only,
                                                    unsigned turn) override {
    return read_only ? router_->Standby(database, turn) : router_->Primary(database);
  }

  const std::string& PrimaryId(const std::string& database) override {
    auto [known, first] = primary_ids_.try_emplace(database);
    if (first) {
      std::optional<clustermetadata::Multipooler> primary = router_->Primary(database);
      known->second = primary.has_value() ? topology::IdString(primary->id()) : "";
    }
    return known->second;
  }

  asio::awaitable<void> RoutesChange(std::chrono::milliseconds bound) override {
    if (!stopping_) {
      asio::steady_timer timer(loop_, bound);
      waiting_.insert(&timer);
      error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      waiting_.erase(&timer);
    }
  }

  asio::awaitable<void> CancelRequested(std::uint32_t pid, std::uint32_t secret) override {
    // It goes on by itself; the client, which may be in a signal handler, waits only a moment for its delivery.
    auto timer = std::make_shared<asio::steady_timer>(loop_, kCancelBound);
    auto delivered = [timer](std::exception_ptr) { timer->cancel(); };
    if (pid >> kCounterBits == options_.pid_prefix || forward_cancel == nullptr) {
      asio::co_spawn(loop_, CancelOwn(pid, secret), delivered);
    } else {
      asio::co_spawn(lookups_, Forward(&forward_cancel, pid, secret), asio::bind_executor(loop_, delivered));
    }
    error_code ignored;
    co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  void ServedBy(const PoolerAddress& address) override { rest_feeds_.ListenTo(link_.get(), address); }
  const std::string& gateway_token() const override { return rest_feeds_.gateway(); }

  void CountLogin(bool good) override {
    std::lock_guard lock(counters_mutex_);
    ++(good ? counters_.logins : counters_.refused);
  }

  void CountWait() override {
    std::lock_guard lock(counters_mutex_);
    ++counters_.waited;
  }
  void CountMove() override {
    std::lock_guard lock(counters_mutex_);
    ++counters_.moved;
  }

 private:
  absl::Status Listen(int port, bool read_only) {
    error_code error;
    auto acceptor = std::make_unique<tcp::acceptor>(loop_);
    tcp::endpoint endpoint(asio::ip::make_address(options_.address, error), static_cast<std::uint16_t>(port));
    if (!error) {
      acceptor->open(endpoint.protocol(), error);
    }
    if (!error) {
      acceptor->set_option(asio::socket_base::reuse_address(true), error);
      acceptor->bind(endpoint, error);
    }
    if (!error) {
      acceptor->listen(SOMAXCONN, error);
    }
    if (error) {
      return MakeError(absl::StatusCode::kUnavailable,
                       absl::StrCat("listen on ", options_.address, ":", port, ": ", error.message()),
                       {.reason = "PORT_IN_USE"});
    }
    asio::co_spawn(loop_, Accept(acceptor.get(), read_only), asio::detached);
    acceptors_.push_back(std::move(acceptor));
    return absl::OkStatus();
  }

  /// An id that no live session has: the prefix, then a counter.
  std::uint32_t NextPid() {
    std::uint32_t pid = 0;
    do {
      counter_ = (counter_ + 1) & ((1u << kCounterBits) - 1);
      pid = options_.pid_prefix << kCounterBits | counter_;
    } while (pid == 0 || sessions_.contains(pid));
    return pid;
  }

  asio::awaitable<void> Accept(tcp::acceptor* acceptor, bool read_only) {
    while (acceptor->is_open()) {
      error_code error;
      tcp::socket socket(loop_);
      co_await acceptor->async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        if (!acceptor->is_open() || error == asio::error::operation_aborted) {
          co_return;
        }
        if (std::optional<std::int64_t> untold = accept_faults_.Next(); untold.has_value()) {
          log::Warn("accept failed", {{"error", error.message()}, {"untold", *untold}});
        }
        asio::steady_timer pause(loop_, std::chrono::milliseconds(50));  // out of descriptors: let some end
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      std::string random = pgwire::RandomBytes(4);
      std::uint32_t pid = NextPid();
      auto session =
          std::make_shared<ClientSession>(this, std::move(socket), read_only, pid, pgwire::ReadUint32(random.data()));
      sessions_[pid] = session;
      CountSessions();
      asio::co_spawn(loop_, session->Run(), [this, pid](std::exception_ptr failed) {
        if (failed) {
          log::Error("a session ended by an exception", {{"pid", pid}});
        }
        sessions_.erase(pid);
        CountSessions();
        NoticeDrained();
      });
    }
  }

  void HeardRest(const pgwire::RestNote& note) {
    if (auto it = sessions_.find(note.tag); it != sessions_.end()) {
      it->second->HeardRest(note);
    }
  }

  void CountSessions() {
    std::lock_guard lock(counters_mutex_);
    counters_.sessions = static_cast<std::int64_t>(sessions_.size());
  }

  asio::awaitable<void> CancelOwn(std::uint32_t pid, std::uint32_t secret) {
    auto it = sessions_.find(pid);
    if (it == sessions_.end() || it->second->secret() != secret || !it->second->backend().has_value()) {
      co_return;
    }
    ClientSession::Backend backend = *it->second->backend();
    absl::StatusOr<LocalSocket> socket = co_await link_->Connect(backend.address);
    error_code error;
    pgwire::Handoff cancel;
    cancel.cancel = true;
    cancel.backend_pid = backend.pid;
    cancel.backend_secret = backend.secret;
    std::string message = pgwire::EncodeHandoff(cancel);
    if (socket.ok()) {
      co_await asio::async_write(*socket, asio::buffer(message), asio::redirect_error(asio::use_awaitable, error));
      char end[1];
      co_await asio::async_read(*socket, asio::buffer(end), asio::redirect_error(asio::use_awaitable, error));
    }
  }

  void WakeWaiters() {
    for (asio::steady_timer* timer : waiting_) {
      timer->cancel();
    }
  }

  void NoticeDrained() {
    if (stopping_ && sessions_.empty() && !drained_told_) {
      drained_told_ = true;
      drained_.set_value();
    }
  }

  const GatewayOptions options_;
  Router* const router_;
  Credentials credentials_;
  stats::QueryStats query_stats_;
  stats::Consolidator consolidator_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(loop_);
  asio::thread_pool lookups_{2};
  relay::Scratch scratch_;
  log::Throttle accept_faults_;
  std::unique_ptr<TlsContext> tls_;
  std::unique_ptr<PoolerLink> link_;
  RestFeeds rest_feeds_{loop_, [this](const pgwire::RestNote& note) { HeardRest(note); }};
  std::map<std::string, std::string> primary_ids_;  ///< by database, since the routes changed last
  std::set<asio::steady_timer*> waiting_;           ///< for a change of the routes, which cancels them
  const std::string mock_secret_;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors_;
  std::map<std::uint32_t, std::shared_ptr<ClientSession>> sessions_;
  std::uint32_t counter_ = 0;
  bool stopping_ = false, drained_told_ = false;
  std::promise<void> drained_;
  std::thread thread_;
  mutable std::mutex counters_mutex_;
  GatewayCounters counters_;
};

}  // namespace

std::unique_ptr<GatewayServer> GatewayServer::Create(GatewayOptions options, Router* router) {
  return std::make_unique<GatewayServerImpl>(std::move(options), router);
}

}  // namespace mg::multigateway
