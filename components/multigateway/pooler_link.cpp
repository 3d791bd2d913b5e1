#include "components/multigateway/pooler_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/pgwire/handoff.h"
#include "common/status/status.h"

namespace mg::multigateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using LocalSocket = asio::local::stream_protocol::socket;
constexpr size_t kMaxSocketPath = 107;
constexpr auto kConnectBound = std::chrono::seconds(5);
constexpr char kPortName[] = "pooler-pg";

bool OwnedByUs(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == ::geteuid() || peer.uid == 0);
}

/// Owns the link as long as it carries.
asio::awaitable<void> Carry(std::shared_ptr<relay::TlsLink> link, LocalSocket local) {
  co_await link->Carry(std::move(local));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PoolerLink>> PoolerLink::Create(asio::io_context* loop, std::string hostname,
                                                               const rpc::ClientTls& tls) {
  std::unique_ptr<PoolerLink> link(new PoolerLink(loop, std::move(hostname), tls.server_name));
  if (!tls.certificate.empty() && !tls.authority.empty()) {
    MG_ASSIGN_OR_RETURN(
        link->identity_,
        relay::TlsIdentity::Load({.certificate = tls.certificate, .key = tls.key, .authority = tls.authority}));
  }
  return link;
}

absl::StatusOr<PoolerAddress> PoolerLink::AddressOf(const clustermetadata::Multipooler& pooler) const {
  auto port = pooler.port_map().find(kPortName);
  if (pooler.hostname() == hostname_ || port == pooler.port_map().end()) {
    std::string path = pgwire::PoolerSocketPath(pooler.pooler_dir());
    if (path.size() > kMaxSocketPath) {
      return absl::FailedPreconditionError(absl::StrCat("the pooler's socket path is too long: ", path));
    }
    return PoolerAddress{.socket_path = path, .host = "", .port = 0};
  }
  if (identity_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the pooler is on ", pooler.hostname(),
                     ", and this gateway has no --multipooler-grpc-cert, -key and -ca to reach it with"));
  }
  return PoolerAddress{.socket_path = "", .host = pooler.hostname(), .port = port->second};
}

asio::awaitable<absl::StatusOr<LocalSocket>> PoolerLink::Connect(PoolerAddress address) {
  error_code error;
  LocalSocket local(*loop_);
  if (!address.socket_path.empty()) {
    asio::local::stream_protocol::endpoint endpoint(address.socket_path);
    co_await local.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
    if (error || !OwnedByUs(local.native_handle())) {
      co_return absl::UnavailableError(
          absl::StrCat(address.socket_path, ": ", error ? error.message() : "another user's process listens there"));
    }
    co_return local;
  }
  tcp::socket socket(*loop_);
  tcp::resolver resolver(*loop_);
  asio::steady_timer bound(*loop_, kConnectBound);
  std::shared_ptr<relay::TlsLink> link;
  bound.async_wait([&](error_code cancelled) {
    if (!cancelled) {
      error_code ignored;
      resolver.cancel();
      socket.close(ignored);
      if (link != nullptr) {
        link->Close();
      }
    }
  });
  std::string port = absl::StrCat(address.port);
  auto found = co_await resolver.async_resolve(address.host, port, asio::redirect_error(asio::use_awaitable, error));
  if (!error) {
    co_await asio::async_connect(socket, found, asio::redirect_error(asio::use_awaitable, error));
  }
  if (error) {
    bound.cancel();
    co_return absl::UnavailableError(absl::StrCat(address.host, ":", port, ": ", error.message()));
  }
  link = std::make_shared<relay::TlsLink>(std::move(socket), identity_.get());
  std::string name = server_name_.empty() ? address.host : server_name_;
  absl::Status connected = co_await link->Connect(name);
  bool in_time = bound.cancel() != 0;
  if (!connected.ok() || !in_time) {
    log::Warn("a pooler could not be reached", {{"host", address.host}, {"error", connected}});
    co_return connected.ok() ? absl::UnavailableError(absl::StrCat(address.host, ": too slow")) : connected;
  }
  LocalSocket far_end(*loop_);
  asio::local::connect_pair(local, far_end, error);
  if (error) {
    co_return absl::UnavailableError(absl::StrCat("socketpair: ", error.message()));
  }
  asio::co_spawn(*loop_, Carry(link, std::move(far_end)), asio::detached);
  co_return local;
}

}  // namespace mg::multigateway
