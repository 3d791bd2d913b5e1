/// Carries a private Unix connection over mutual TLS between machines: what both sides of a gateway's connection to a
/// pooler elsewhere use. On the owner's loop thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::relay {

/// Own certificate and key, and the authority that the other side's certificate must be from; TLS 1.2 and later.
class TlsIdentity {
 public:
  struct Files {
    std::string certificate, key, authority;  ///< PEM; all three are needed
  };
  /// INVALID_ARGUMENT with the file and OpenSSL's reason.
  static absl::StatusOr<std::unique_ptr<TlsIdentity>> Load(const Files& files);
  ~TlsIdentity();

 private:
  friend class TlsLink;
  struct Impl;
  explicit TlsIdentity(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class TlsLink {
 public:
  /// `identity` must outlive the link.
  TlsLink(boost::asio::ip::tcp::socket socket, TlsIdentity* identity);
  ~TlsLink();

  /// As a client: the other side's certificate must name `server_name`.
  boost::asio::awaitable<absl::Status> Connect(std::string server_name);
  /// As a server: with `names`, the subject of the client's certificate must contain one of them.
  boost::asio::awaitable<absl::Status> Accept(std::vector<std::string> names);
  /// Carries bytes both ways until one side ends; then both are closed, the other direction after a moment for what is
  /// under way.
  boost::asio::awaitable<void> Carry(boost::asio::local::stream_protocol::socket local);
  void Close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::relay
