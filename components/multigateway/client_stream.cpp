#include "components/multigateway/client_stream.h"

#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"

namespace mg::multigateway {

struct TlsContext::Impl {
  asio::ssl::context context{asio::ssl::context::tls_server};
};

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(const std::string& certificate_chain,
                                                             const std::string& key) {
  auto impl = std::make_unique<Impl>();
  error_code error;
  impl->context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                                asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                                asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression,
                            error);
  impl->context.use_certificate_chain_file(certificate_chain, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot use the certificate file ", certificate_chain, ": ", error.message()));
  }
  impl->context.use_private_key_file(key, asio::ssl::context::pem, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("cannot use the key file ", key, ": ", error.message()));
  }
  if (SSL_CTX_check_private_key(impl->context.native_handle()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key in ", key, " does not fit the certificate in ", certificate_chain));
  }
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(impl)));
}

struct ClientStream::Tls {
  Tls(tcp::socket& socket, asio::ssl::context& context) : stream(socket, context) {}
  asio::ssl::stream<tcp::socket&> stream;
};

ClientStream::ClientStream(tcp::socket socket) : socket_(std::move(socket)) {}
ClientStream::~ClientStream() = default;

asio::awaitable<error_code> ClientStream::StartTls(TlsContext* context) {
  tls_ = std::make_unique<Tls>(socket_, context->impl_->context);
  error_code error;
  co_await tls_->stream.async_handshake(asio::ssl::stream_base::server,
                                        asio::redirect_error(asio::use_awaitable, error));
  co_return error;
}

asio::awaitable<error_code> ClientStream::ReadExactly(char* data, size_t size) {
  error_code error;
  auto buffer = asio::buffer(data, size);
  if (tls_ != nullptr) {
    co_await asio::async_read(tls_->stream, buffer, asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await asio::async_read(socket_, buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  co_return error;
}

asio::awaitable<size_t> ClientStream::ReadSome(char* data, size_t size, error_code* error) {
  auto buffer = asio::buffer(data, size);
  if (tls_ != nullptr) {
    co_return co_await tls_->stream.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, *error));
  }
  co_return co_await socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, *error));
}

asio::awaitable<error_code> ClientStream::Write(absl::string_view data) {
  error_code error;
  auto buffer = asio::buffer(data.data(), data.size());
  if (tls_ != nullptr) {
    co_await asio::async_write(tls_->stream, buffer, asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await asio::async_write(socket_, buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  co_return error;
}

void ClientStream::Shutdown() {
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
}

void ClientStream::Close() {
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace mg::multigateway
