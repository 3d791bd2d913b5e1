/// The client's connection: TCP, with TLS on it once the client has asked for it. On the gateway's loop thread only; at
/// most one read and one write at a time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace mg::multigateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

/// The gateway's certificate and key; TLS 1.2 and later.
class TlsContext {
 public:
  /// PEM files. INVALID_ARGUMENT with the file and OpenSSL's reason.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Load(const std::string& certificate_chain, const std::string& key);
  ~TlsContext();

 private:
  friend class ClientStream;
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class ClientStream {
 public:
  explicit ClientStream(tcp::socket socket);
  ~ClientStream();

  /// The server's side of the handshake. `context` must outlive the stream.
  asio::awaitable<error_code> StartTls(TlsContext* context);
  bool encrypted() const { return tls_ != nullptr; }

  asio::awaitable<error_code> ReadExactly(char* data, size_t size);
  /// At least one byte; 0 with `error` set at the end.
  asio::awaitable<size_t> ReadSome(char* data, size_t size, error_code* error);
  /// All of it; `data` must stay.
  asio::awaitable<error_code> Write(absl::string_view data);

  /// Only while not encrypted: for relaying.
  tcp::socket& plain() { return socket_; }
  void Shutdown();
  void Close();
  bool is_open() const { return socket_.is_open(); }

 private:
  struct Tls;
  tcp::socket socket_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace mg::multigateway
