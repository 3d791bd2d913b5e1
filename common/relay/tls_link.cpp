#include "common/relay/tls_link.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace mg::relay {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using LocalSocket = asio::local::stream_protocol::socket;

namespace {

constexpr size_t kBuffer = 32 << 10;
constexpr auto kLastWords = std::chrono::seconds(1);

absl::Status BadFile(const std::string& what, const std::string& path, const error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat("cannot use the ", what, " file ", path, ": ", error.message()));
}

std::string SubjectOf(SSL* ssl) {
  X509* certificate = SSL_get_peer_certificate(ssl);
  if (certificate == nullptr) {
    return "";
  }
  char text[1024];
  X509_NAME_oneline(X509_get_subject_name(certificate), text, sizeof text);
  X509_free(certificate);
  return text;
}

/// Until `from` ends. What `to` does not take any more is the end too, or with `drain` is dropped.
template <typename From, typename To>
asio::awaitable<void> Copy(From& from, To& to, bool drain) {
  auto buffer = std::make_unique<std::array<char, kBuffer>>();
  error_code read_error, write_error;
  while (!read_error && (!write_error || drain)) {
    size_t n =
        co_await from.async_read_some(asio::buffer(*buffer), asio::redirect_error(asio::use_awaitable, read_error));
    if (n != 0 && !write_error) {
      auto bytes = asio::buffer(buffer->data(), n);
      co_await asio::async_write(to, bytes, asio::redirect_error(asio::use_awaitable, write_error));
    }
  }
}

}  // namespace

struct TlsIdentity::Impl {
  asio::ssl::context context{asio::ssl::context::tls};
};

TlsIdentity::TlsIdentity(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsIdentity::~TlsIdentity() = default;

absl::StatusOr<std::unique_ptr<TlsIdentity>> TlsIdentity::Load(const Files& files) {
  if (files.certificate.empty() || files.key.empty() || files.authority.empty()) {
    return absl::InvalidArgumentError("mutual TLS needs a certificate, its key and an authority");
  }
  auto impl = std::make_unique<Impl>();
  asio::ssl::context& context = impl->context;
  error_code error;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                          asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                          asio::ssl::context::no_compression,
                      error);
  context.use_certificate_chain_file(files.certificate, error);
  if (error) {
    return BadFile("certificate", files.certificate, error);
  }
  context.use_private_key_file(files.key, asio::ssl::context::pem, error);
  if (error) {
    return BadFile("key", files.key, error);
  }
  context.load_verify_file(files.authority, error);
  if (error) {
    return BadFile("authority", files.authority, error);
  }
  if (SSL_CTX_check_private_key(context.native_handle()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key in ", files.key, " does not fit the certificate in ", files.certificate));
  }
  context.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
  return std::unique_ptr<TlsIdentity>(new TlsIdentity(std::move(impl)));
}

struct TlsLink::Impl {
  Impl(tcp::socket socket, asio::ssl::context& context) : stream(std::move(socket), context) {}
  asio::ssl::stream<tcp::socket> stream;
};

TlsLink::TlsLink(tcp::socket socket, TlsIdentity* identity)
    : impl_(std::make_unique<Impl>(std::move(socket), identity->impl_->context)) {
  error_code ignored;
  impl_->stream.lowest_layer().set_option(tcp::no_delay(true), ignored);
}

TlsLink::~TlsLink() = default;

asio::awaitable<absl::Status> TlsLink::Connect(std::string server_name) {
  error_code error;
  SSL_set_tlsext_host_name(impl_->stream.native_handle(), server_name.c_str());
  impl_->stream.set_verify_callback(asio::ssl::host_name_verification(server_name), error);
  co_await impl_->stream.async_handshake(asio::ssl::stream_base::client,
                                         asio::redirect_error(asio::use_awaitable, error));
  co_return error ? absl::UnavailableError(absl::StrCat("TLS with ", server_name, ": ", error.message()))
                  : absl::OkStatus();
}

asio::awaitable<absl::Status> TlsLink::Accept(std::vector<std::string> names) {
  error_code error;
  co_await impl_->stream.async_handshake(asio::ssl::stream_base::server,
                                         asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    co_return absl::UnauthenticatedError(absl::StrCat("TLS handshake: ", error.message()));
  }
  std::string subject = SubjectOf(impl_->stream.native_handle());
  bool allowed = names.empty();
  for (const std::string& name : names) {
    allowed |= absl::StrContains(subject, name);
  }
  co_return allowed ? absl::OkStatus()
                    : absl::PermissionDeniedError(absl::StrCat("a client certificate of ", subject, " is not allowed"));
}

asio::awaitable<void> TlsLink::Carry(LocalSocket local) {
  asio::steady_timer outward_end(local.get_executor(), asio::steady_timer::time_point::max());
  asio::steady_timer last_words(local.get_executor());
  bool outward_ended = false;
  asio::co_spawn(local.get_executor(), Copy(local, impl_->stream, /*drain=*/false), [&](std::exception_ptr) {
    outward_ended = true;
    outward_end.cancel();
    // A close with bytes unread would reset the connection, and the other side might lose what was said last. TLS as
    // Asio has it knows no end of one direction, so that what still comes back has only this moment.
    error_code ignored;
    impl_->stream.lowest_layer().shutdown(tcp::socket::shutdown_send, ignored);
    last_words.expires_after(kLastWords);
    last_words.async_wait([this](error_code cancelled) {
      if (!cancelled) {
        Close();
      }
    });
  });
  co_await Copy(impl_->stream, local, /*drain=*/true);
  error_code ignored;
  local.close(ignored);
  while (!outward_ended) {
    co_await outward_end.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  last_words.cancel();
  Close();
}

void TlsLink::Close() {
  error_code ignored;
  impl_->stream.lowest_layer().close(ignored);
}

}  // namespace mg::relay
