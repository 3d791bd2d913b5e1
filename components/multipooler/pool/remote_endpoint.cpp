#include "components/multipooler/pool/remote_endpoint.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/log/throttle.h"
#include "common/relay/tls_link.h"
#include "common/status/status.h"

namespace mg::multipooler {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using LocalSocket = asio::local::stream_protocol::socket;
/// For the handshake: who says nothing holds no connection.
constexpr auto kHandshakeBound = std::chrono::seconds(10);

class RemoteEndpointImpl final : public RemoteEndpoint {
 public:
  explicit RemoteEndpointImpl(RemoteOptions options) : options_(std::move(options)), acceptor_(loop_) {}

  ~RemoteEndpointImpl() override {
    loop_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  absl::Status Start() override {
    MG_ASSIGN_OR_RETURN(
        identity_, relay::TlsIdentity::Load(
                       {.certificate = options_.certificate, .key = options_.key, .authority = options_.authority}));
    error_code error;
    tcp::endpoint endpoint(asio::ip::make_address(options_.address, error), static_cast<std::uint16_t>(options_.port));
    if (!error) {
      acceptor_.open(endpoint.protocol(), error);
    }
    if (!error) {
      acceptor_.set_option(asio::socket_base::reuse_address(true), error);
      acceptor_.bind(endpoint, error);
    }
    if (!error) {
      acceptor_.listen(SOMAXCONN, error);
    }
    if (error) {
      return MakeError(absl::StatusCode::kUnavailable,
                       absl::StrCat("listen on ", options_.address, ":", options_.port, ": ", error.message()),
                       {.reason = "PORT_IN_USE"});
    }
    asio::co_spawn(loop_, Accept(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
    return absl::OkStatus();
  }

 private:
  asio::awaitable<void> Accept() {
    for (;;) {
      error_code error;
      tcp::socket socket(loop_);
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        if (std::optional<std::int64_t> untold = accept_faults_.Next(); untold.has_value()) {
          log::Warn("accept failed", {{"error", error.message()}, {"untold", *untold}});
        }
        asio::steady_timer pause(loop_, std::chrono::milliseconds(50));  // out of descriptors: let some end
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      asio::co_spawn(loop_, Serve(std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> Serve(tcp::socket socket) {
    error_code error;
    tcp::endpoint peer = socket.remote_endpoint(error);
    relay::TlsLink link(std::move(socket), identity_.get());
    asio::steady_timer bound(loop_, kHandshakeBound);
    bound.async_wait([&link](error_code cancelled) {
      if (!cancelled) {
        link.Close();
      }
    });
    absl::Status accepted = co_await link.Accept(options_.names);
    bool in_time = bound.cancel() != 0;
    if (!accepted.ok() || !in_time) {
      log::Warn("a gateway was refused",
                {{"peer", peer.address().to_string()}, {"error", accepted.ok() ? "too slow" : accepted.message()}});
      co_return;
    }
    LocalSocket local(loop_);
    asio::local::stream_protocol::endpoint pool(options_.socket_path);
    co_await local.async_connect(pool, asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      log::Error("the pool cannot be reached", {{"socket", options_.socket_path}, {"error", error.message()}});
      co_return;
    }
    co_await link.Carry(std::move(local));
  }

  const RemoteOptions options_;
  std::unique_ptr<relay::TlsIdentity> identity_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(loop_);
  tcp::acceptor acceptor_;
  log::Throttle accept_faults_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<RemoteEndpoint> RemoteEndpoint::Create(RemoteOptions options) {
  return std::make_unique<RemoteEndpointImpl>(std::move(options));
}

}  // namespace mg::multipooler
