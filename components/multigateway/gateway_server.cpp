#include "components/multigateway/gateway_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/pgwire/scram.h"
#include "common/status/status.h"
#include "components/multigateway/client_session.h"
#include "components/multigateway/credentials.h"

namespace mg::multigateway {
namespace {

using boost::system::error_code;
constexpr std::uint32_t kCounterBits = 20;

class GatewayServerImpl final : public GatewayServer, public ClientHost {
 public:
  GatewayServerImpl(GatewayOptions options, Router* router)
      : options_(std::move(options)),
        router_(router),
        credentials_(router),
        changed_(loop_),
        mock_secret_(pgwire::RandomBytes(32)) {
    changed_.expires_at(asio::steady_timer::time_point::max());
  }

  ~GatewayServerImpl() override {
    Stop();
    work_.reset();
    if (thread_.joinable()) {
      thread_.join();
    }
    lookups_.join();
  }

  absl::Status Start() override {
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
      for (const auto& [pid, session] : sessions_) {
        session->End();
      }
      stopping_ = true;
      changed_.cancel();
    });
  }

  void RoutesChanged() override {
    asio::post(loop_, [this] { changed_.cancel(); });
  }

  void Cancel(std::uint32_t process_id, std::uint32_t secret) override {
    asio::post(loop_, [this, process_id, secret] {
      auto it = sessions_.find(process_id);
      if (it != sessions_.end() && it->second->secret() == secret && it->second->backend().has_value()) {
        asio::co_spawn(loop_, SendCancel(*it->second->backend()), asio::detached);
      }
    });
  }

  GatewayCounters counters() const override {
    std::lock_guard lock(counters_mutex_);
    return counters_;
  }

  // ClientHost.
  asio::io_context& loop() override { return loop_; }
  const GatewayOptions& options() const override { return options_; }
  const std::string& mock_secret() const override { return mock_secret_; }

  asio::awaitable<absl::StatusOr<std::string>> Verifier(std::string role) override {
    // The call blocks, so it leaves the relay's thread and comes back to it.
    auto answer = std::make_shared<absl::StatusOr<std::string>>(absl::UnavailableError("not asked"));
    co_await asio::post(lookups_, asio::use_awaitable);
    *answer = credentials_.Verifier(options_.database, role, absl::Now() + absl::Seconds(3));
    co_await asio::post(loop_, asio::use_awaitable);
    co_return *answer;
  }

  std::optional<clustermetadata::Multipooler> Route(bool read_only, unsigned turn) override {
    return read_only ? router_->Standby(options_.database, turn) : router_->Primary(options_.database);
  }

  asio::awaitable<void> RoutesChange(std::chrono::milliseconds bound) override {
    asio::steady_timer limit(loop_, bound);
    limit.async_wait([this](error_code cancelled) {
      if (!cancelled) {
        changed_.cancel();
      }
    });
    error_code ignored;
    if (!stopping_) {
      co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    limit.cancel();
  }

  void CancelRequested(std::uint32_t pid, std::uint32_t secret) override {
    if (pid >> kCounterBits == options_.pid_prefix || forward_cancel == nullptr) {
      Cancel(pid, secret);
      return;
    }
    asio::post(lookups_, [this, pid, secret] { forward_cancel(pid, secret); });
  }

  void CountLogin(bool good) override {
    std::lock_guard lock(counters_mutex_);
    ++(good ? counters_.logins : counters_.refused);
  }

  void CountWait() override {
    std::lock_guard lock(counters_mutex_);
    ++counters_.waited;
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
      acceptor->listen(1024, error);
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
        log::Warn("accept failed", {{"error", error.message()}});
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
      });
    }
  }

  void CountSessions() {
    std::lock_guard lock(counters_mutex_);
    counters_.sessions = static_cast<std::int64_t>(sessions_.size());
  }

  asio::awaitable<void> SendCancel(ClientSession::Backend backend) {
    LocalSocket socket(loop_);
    error_code error;
    co_await socket.async_connect(asio::local::stream_protocol::endpoint(backend.socket_path),
                                  asio::redirect_error(asio::use_awaitable, error));
    pgwire::Handoff cancel;
    cancel.cancel = true;
    cancel.backend_pid = backend.pid;
    cancel.backend_secret = backend.secret;
    std::string message = pgwire::EncodeHandoff(cancel);
    if (!error) {
      co_await asio::async_write(socket, asio::buffer(message), asio::redirect_error(asio::use_awaitable, error));
      char end[1];
      co_await asio::async_read(socket, asio::buffer(end), asio::redirect_error(asio::use_awaitable, error));
    }
  }

  const GatewayOptions options_;
  Router* const router_;
  Credentials credentials_;
  asio::io_context loop_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(loop_);
  asio::thread_pool lookups_{2};
  asio::steady_timer changed_;  ///< never ends by itself: cancelled at each change, which wakes all who wait
  const std::string mock_secret_;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors_;
  std::map<std::uint32_t, std::shared_ptr<ClientSession>> sessions_;
  std::uint32_t counter_ = 0;
  bool stopping_ = false;
  std::thread thread_;
  mutable std::mutex counters_mutex_;
  GatewayCounters counters_;
};

}  // namespace

std::unique_ptr<GatewayServer> GatewayServer::Create(GatewayOptions options, Router* router) {
  return std::make_unique<GatewayServerImpl>(std::move(options), router);
}

}  // namespace mg::multigateway
