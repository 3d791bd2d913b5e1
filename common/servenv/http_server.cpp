#include "common/servenv/http_server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <list>
#include <optional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/servenv/tls_files.h"
#include "common/status/status.h"

namespace mg::servenv {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

/// One thread moves bytes, however many connections dawdle; a few answer.
constexpr int kAnswerThreads = 4;
constexpr size_t kMaxConnections = 256;
constexpr std::uint32_t kMaxHeader = 16 << 10;
constexpr std::uint64_t kMaxBody = 4 << 20;
constexpr std::chrono::seconds kHeaderLimit(10), kBodyLimit(30), kWriteLimit(30), kLingerLimit(2);

int HexDigit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

std::string Decoded(absl::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0) {
      out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

absl::string_view View(beast::string_view text) { return absl::string_view(text.data(), text.size()); }

/// A header's value must not end the header.
std::string HeaderValue(std::string value) {
  for (char& c : value) {
    c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return value;
}

HttpRequest Convert(const http::request<http::string_body>& in, const std::string& peer) {
  HttpRequest out;
  out.method = std::string(View(in.method_string()));
  absl::string_view target = View(in.target());
  size_t question = target.find('?');
  out.path = Decoded(target.substr(0, question), false);
  if (question != absl::string_view::npos) {
    for (absl::string_view part : absl::StrSplit(target.substr(question + 1), '&', absl::SkipEmpty())) {
      size_t equals = part.find('=');
      out.query.emplace(Decoded(part.substr(0, equals), true),
                        equals == absl::string_view::npos ? "" : Decoded(part.substr(equals + 1), true));
    }
  }
  for (const auto& field : in) {
    out.headers.emplace(absl::AsciiStrToLower(View(field.name_string())), std::string(View(field.value())));
  }
  out.body = in.body();
  out.peer = peer;
  return out;
}

/// What the server itself does with a connection, whatever carries it. On the I/O thread.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual bool busy() const = 0;
  virtual void Begin() = 0;
  virtual void Close() = 0;
};

/// Owned by the server; used on its one I/O thread, but for `handle`.
struct Shared {
  HttpHandler handle;
  HttpRefusal refused;
  asio::io_context io{1};
  asio::thread_pool answerers{kAnswerThreads};
  std::list<std::shared_ptr<Connection>> sessions;  ///< oldest first
  bool stopping = false;
};

using Plain = beast::tcp_stream;
using Secure = beast::ssl_stream<beast::tcp_stream>;
using TlsContext = std::shared_ptr<asio::ssl::context>;

template <typename Stream>
class Session final : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(tcp::socket socket, Shared* shared) : stream_(std::move(socket)), shared_(shared) { NotePeer(); }
  Session(tcp::socket socket, TlsContext context, Shared* shared)
      : context_(std::move(context)), stream_(std::move(socket), *context_), shared_(shared) {
    NotePeer();
  }

  bool busy() const override { return busy_; }

  void Begin() override {
    if constexpr (std::is_same_v<Stream, Secure>) {
      lowest().expires_after(kHeaderLimit);
      stream_.async_handshake(
          asio::ssl::stream_base::server,
          [self = this->shared_from_this()](beast::error_code error) { error ? self->Close() : self->Read(); });
    } else {
      Read();
    }
  }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(kMaxBody);
    lowest().expires_after(kHeaderLimit);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](beast::error_code error, size_t) { self->HeaderRead(error); });
  }

  void Close() override {
    if (!closed_) {
      closed_ = true;
      beast::error_code ignored;
      lowest().socket().shutdown(tcp::socket::shutdown_both, ignored);
      lowest().close();
      shared_->sessions.remove(this->shared_from_this());
    }
  }

 private:
  beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }

  void NotePeer() {
    beast::error_code error;
    tcp::endpoint end = lowest().socket().remote_endpoint(error);
    peer_ = error ? "" : end.address().to_string();
  }

  void HeaderRead(beast::error_code error) {
    if (error) {
      return Refuse(error);
    }
    if (absl::EqualsIgnoreCase(View(parser_->get()[http::field::expect]), "100-continue")) {
      interim_ = http::response<http::empty_body>(http::status::continue_, parser_->get().version());
      http::async_write(stream_, interim_, [self = this->shared_from_this()](beast::error_code failed, size_t) {
        failed ? self->Close() : self->ReadBody();
      });
      return;
    }
    ReadBody();
  }

  void ReadBody() {
    lowest().expires_after(kBodyLimit);
    http::async_read(stream_, buffer_, *parser_, [self = this->shared_from_this()](beast::error_code error, size_t) {
      error ? self->Refuse(error) : self->Answer();
    });
  }

  /// What can still be told about a request that is none.
  void Refuse(beast::error_code error) {
    if (closed_ || error == http::error::end_of_stream || error == http::error::partial_message ||
        error == beast::error::timeout ||
        error.category() != http::make_error_code(http::error::end_of_stream).category()) {
      return Close();
    }
    HttpResponse response{.status = error == http::error::body_limit     ? 413
                                    : error == http::error::header_limit ? 431
                                                                         : 400};
    response.body = absl::StrCat("the request cannot be read: ", error.message(), "\n");
    if (shared_->refused != nullptr) {
      // A body that is announced as too large is refused before the header counts as done; its target is known then.
      shared_->refused(parser_->get().target().empty() ? HttpRequest() : Convert(parser_->get(), peer_), &response);
    }
    busy_ = linger_ = true;
    Write(response, 11, /*keep_alive=*/false, /*head=*/false);
  }

  void Answer() {
    busy_ = true;
    lowest().expires_never();
    bool head = parser_->get().method() == http::verb::head;
    bool keep_alive = parser_->get().keep_alive();
    unsigned version = parser_->get().version();
    HttpRequest request = Convert(parser_->get(), peer_);
    parser_.reset();
    if (head) {
      request.method = "GET";
    }
    // The loop must not end while an answer is made.
    asio::post(shared_->answerers, [self = this->shared_from_this(), work = asio::make_work_guard(shared_->io),
                                    request = std::move(request), version, keep_alive, head] {
      HttpResponse response = self->shared_->handle(request);
      asio::post(self->shared_->io, [self, response = std::move(response), version, keep_alive, head] {
        self->Write(response, version, keep_alive && !self->shared_->stopping, head);
      });
    });
  }

  void Write(const HttpResponse& from, unsigned version, bool keep_alive, bool head) {
    response_ = http::response<http::string_body>(static_cast<http::status>(from.status), version);
    for (const auto& [name, value] : from.headers) {
      response_.insert(name, HeaderValue(value));
    }
    response_.set(http::field::content_type, HeaderValue(from.content_type));
    response_.keep_alive(keep_alive);
    response_.body() = from.body;
    response_.prepare_payload();
    if (head) {
      response_.body().clear();  // the length stays
    }
    lowest().expires_after(kWriteLimit);
    http::async_write(stream_, response_,
                      [self = this->shared_from_this(), keep_alive](beast::error_code error, size_t) {
                        self->busy_ = false;
                        if (!error && self->linger_ && !self->shared_->stopping) {
                          return self->BeginLinger();
                        }
                        error || !keep_alive || self->shared_->stopping ? self->Close() : self->Read();
                      });
  }

  /// A close while the client still sends would throw away the answer that it has not read yet.
  void BeginLinger() {
    beast::error_code ignored;
    lowest().socket().shutdown(tcp::socket::shutdown_send, ignored);
    buffer_.clear();
    lowest().expires_after(kLingerLimit);
    Drain();
  }

  void Drain() {
    stream_.async_read_some(
        buffer_.prepare(64 << 10),
        [self = this->shared_from_this()](beast::error_code error, size_t) { error ? self->Close() : self->Drain(); });
  }

  TlsContext context_;  ///< outlives the stream that is made from it
  Stream stream_;
  Shared* const shared_;
  std::string peer_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::empty_body> interim_;
  http::response<http::string_body> response_;
  bool busy_ = false, linger_ = false, closed_ = false;
};

}  // namespace

struct HttpServer::Impl {
  Shared shared;
  std::unique_ptr<TlsFiles> tls;  ///< null: plain
  tcp::acceptor acceptor{shared.io};
  std::thread thread;

  void Accept() {
    acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) {
        return;
      }
      if (!error) {
        Admit(std::move(socket));
      }
      Accept();
    });
  }

  void Admit(tcp::socket socket) {
    if (shared.sessions.size() >= kMaxConnections) {
      // Those who dawdle make room: nobody can keep health checks out by opening connections.
      for (const std::shared_ptr<Connection>& session : shared.sessions) {
        if (!session->busy()) {
          std::shared_ptr<Connection> oldest = session;
          oldest->Close();
          break;
        }
      }
      if (shared.sessions.size() >= kMaxConnections) {
        return;  // all are being answered; this one is closed
      }
    }
    std::shared_ptr<Connection> session;
    if (tls != nullptr) {
      session = std::make_shared<Session<Secure>>(std::move(socket), tls->Current(), &shared);
    } else {
      session = std::make_shared<Session<Plain>>(std::move(socket), &shared);
    }
    shared.sessions.push_back(session);
    session->Begin();
  }

  /// On the I/O thread: no more connections, and an end for those that wait.
  void BeginStop() {
    shared.stopping = true;
    beast::error_code ignored;
    acceptor.close(ignored);
    std::list<std::shared_ptr<Connection>> sessions = shared.sessions;
    for (const std::shared_ptr<Connection>& session : sessions) {
      if (!session->busy()) {
        session->Close();
      }
    }
  }
};

HttpServer::HttpServer(HttpHandler handle, HttpRefusal refused) : impl_(std::make_unique<Impl>()) {
  impl_->shared.handle = std::move(handle);
  impl_->shared.refused = std::move(refused);
}

HttpServer::~HttpServer() { Stop(); }

absl::Status HttpServer::UseTls(const std::string& certificate, const std::string& key) {
  auto files = std::make_unique<TlsFiles>(certificate, key);
  MG_RETURN_IF_ERROR(files->Load());
  impl_->tls = std::move(files);
  return absl::OkStatus();
}

absl::StatusOr<int> HttpServer::Start(const std::string& address, int port) {
  beast::error_code error;
  asio::ip::address ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an IP address to listen on"));
  }
  tcp::endpoint endpoint(ip, static_cast<std::uint16_t>(port));
  tcp::acceptor& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) {
    // Not SO_REUSEPORT, with which two servers share a port without a word.
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) {
    acceptor.bind(endpoint, error);
  }
  if (!error) {
    acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    beast::error_code ignored;
    acceptor.close(ignored);
    bool taken = error == asio::error::address_in_use;
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("listen on ", address, ":", port, ": ",
                                  taken ? std::string("the port is taken") : error.message()),
                     {.reason = taken ? "PORT_IN_USE" : ""});
  }
  int bound = acceptor.local_endpoint().port();
  impl_->Accept();
  impl_->thread = std::thread([this] { impl_->shared.io.run(); });
  return bound;
}

void HttpServer::Stop() {
  if (!impl_->thread.joinable()) {
    return;
  }
  asio::post(impl_->shared.io, [this] { impl_->BeginStop(); });
  // The loop ends when the last answer under way is written.
  impl_->thread.join();
  impl_->shared.answerers.join();
}

}  // namespace mg::servenv
