/// How a gateway reaches a pooler: by its private Unix socket on this machine, by mutual TLS elsewhere. On the
/// gateway's loop thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "clustermetadata.pb.h"
#include "common/relay/tls_link.h"
#include "common/rpc/dialer.h"

namespace mg::multigateway {

/// Where a pooler's PostgreSQL endpoint is.
struct PoolerAddress {
  std::string socket_path;  ///< on this machine; empty: elsewhere
  std::string host;
  int port = 0;
};

class PoolerLink {
 public:
  /// `hostname` is this gateway's own, as it registers. INVALID_ARGUMENT for the files.
  static absl::StatusOr<std::unique_ptr<PoolerLink>> Create(boost::asio::io_context* loop, std::string hostname,
                                                            const rpc::ClientTls& tls);

  /// FAILED_PRECONDITION: it is elsewhere, and this gateway has no certificates; or its socket's path is too long.
  absl::StatusOr<PoolerAddress> AddressOf(const clustermetadata::Multipooler& pooler) const;

  /// A connection on which both only speak plainly: TLS, where there is any, is on the other end of it. UNAVAILABLE.
  boost::asio::awaitable<absl::StatusOr<boost::asio::local::stream_protocol::socket>> Connect(PoolerAddress address);

 private:
  PoolerLink(boost::asio::io_context* loop, std::string hostname, std::string server_name)
      : loop_(loop), hostname_(std::move(hostname)), server_name_(std::move(server_name)) {}

  boost::asio::io_context* const loop_;
  const std::string hostname_;
  const std::string server_name_;  ///< expected in certificates; empty: the host
  std::unique_ptr<relay::TlsIdentity> identity_;
};

}  // namespace mg::multigateway
