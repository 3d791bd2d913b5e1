#include "components/multigateway/client_session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/pgwire/scram.h"

#include <sys/socket.h>
#include <unistd.h>

namespace mg::multigateway {
namespace {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;
constexpr size_t kBuffer = 64 << 10;
constexpr std::uint32_t kMaxPassword = 1024 * 64;
constexpr auto kRetryPause = std::chrono::milliseconds(50);

std::chrono::milliseconds Milliseconds(absl::Duration d) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(d));
}

bool IsTrue(const std::string& value) {
  std::string lower = absl::AsciiStrToLower(value);
  return lower == "true" || lower == "on" || lower == "yes" || lower == "1" || lower == "database";
}

bool OwnedByUs(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == ::geteuid() || peer.uid == 0);
}

}  // namespace

ClientSession::ClientSession(ClientHost* host, tcp::socket socket, bool read_only, std::uint32_t pid,
                             std::uint32_t secret)
    : host_(host),
      client_(std::move(socket)),
      server_(host->loop()),
      read_only_(read_only),
      pid_(pid),
      secret_(secret),
      login_timer_(host->loop()) {}

asio::awaitable<bool> ClientSession::Send(std::string data) {
  error_code error;
  co_await asio::async_write(client_, asio::buffer(data), asio::redirect_error(asio::use_awaitable, error));
  co_return !error;
}

asio::awaitable<void> ClientSession::Refuse(std::string code, std::string message, std::string hint) {
  // Named first: g++ 12 destroys an aggregate within a co_await expression twice.
  std::string answer = pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message, .hint = hint});
  co_await Send(std::move(answer));
  host_->CountLogin(false);
}

asio::awaitable<bool> ClientSession::ReadStartup() {
  error_code error;
  for (int round = 0; round < 4; ++round) {
    char head[4];
    co_await asio::async_read(client_, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
    std::uint32_t length = error ? 0 : pgwire::ReadUint32(head);
    if (error || length < 8 || length > static_cast<std::uint32_t>(pgwire::kMaxStartup)) {
      co_return false;
    }
    std::string packet(length - 4, '\0');
    co_await asio::async_read(client_, asio::buffer(packet), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      co_return false;
    }
    auto code = static_cast<std::int32_t>(pgwire::ReadUint32(packet.data()));
    if (code == pgwire::kSslRequest || code == pgwire::kGssEncRequest) {
      bool sent = co_await Send("N");
      if (!sent) {
        co_return false;
      }
      continue;
    }
    if (code == pgwire::kCancelRequest) {
      if (packet.size() == 12) {
        host_->CancelRequested(pgwire::ReadUint32(packet.data() + 4), pgwire::ReadUint32(packet.data() + 8));
      }
      co_return false;
    }
    absl::StatusOr<pgwire::Startup> startup = pgwire::ParseStartup(packet);
    if (code >> 16 != 3) {
      co_await Refuse("0A000", absl::StrCat("unsupported frontend protocol ", code >> 16, ".", code & 0xffff,
                                            ": server supports 3.0 to 3.0"));
      co_return false;
    }
    if (!startup.ok()) {
      co_await Refuse("08P01", std::string(startup.status().message()));
      co_return false;
    }
    if (startup->parameters["user"].empty()) {
      co_await Refuse("28000", "no PostgreSQL user name specified in startup packet");
      co_return false;
    }
    if (auto it = startup->parameters.find("replication"); it != startup->parameters.end() && IsTrue(it->second)) {
      co_await Refuse("0A000", "replication connections do not work through a gateway yet",
                      "Connect to the PostgreSQL server itself.");
      co_return false;
    }
    startup->parameters.erase("replication");
    if ((code & 0xffff) > 0 || !startup->unknown_options.empty()) {
      pgwire::Writer negotiate('v');
      negotiate.Int32(pgwire::kProtocol3).Int32(static_cast<std::int32_t>(startup->unknown_options.size()));
      for (const std::string& option : startup->unknown_options) {
        negotiate.CString(option);
      }
      bool sent = co_await Send(negotiate.Finish());
      if (!sent) {
        co_return false;
      }
    }
    if (startup->parameters["database"].empty()) {
      startup->parameters["database"] = startup->parameters["user"];
    }
    handoff_.parameters = std::move(startup->parameters);
    handoff_.read_only = read_only_;
    co_return true;
  }
  co_return false;
}

asio::awaitable<bool> ClientSession::ReadPassword(std::string* body) {
  error_code error;
  char head[5];
  co_await asio::async_read(client_, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
  std::uint32_t length = error ? 0 : pgwire::ReadUint32(head + 1);
  if (error || head[0] != 'p' || length < 4 || length > kMaxPassword) {
    co_return false;
  }
  body->assign(length - 4, '\0');
  co_await asio::async_read(client_, asio::buffer(*body), asio::redirect_error(asio::use_awaitable, error));
  co_return !error;
}

asio::awaitable<bool> ClientSession::Authenticate() {
  const std::string role = handoff_.parameters["user"];
  Clock::time_point deadline = Clock::now() + Milliseconds(host_->options().primary_wait);
  absl::StatusOr<std::string> text = co_await host_->Verifier(role);
  while (!text.ok() && !absl::IsNotFound(text.status()) && Clock::now() < deadline) {
    co_await host_->RoutesChange(kRetryPause);
    text = co_await host_->Verifier(role);
  }
  if (!text.ok() && !absl::IsNotFound(text.status())) {
    co_await Refuse("57P03", "the database system is not ready: no pooler answers",
                    "Try again, or see 'multigres status'.");
    co_return false;
  }
  absl::StatusOr<pgwire::ScramVerifier> parsed = text.ok() ? pgwire::ParseVerifier(*text) : text.status();
  if (!parsed.ok()) {
    log::Warn("login refused",
              {{"role", role}, {"reason", text.ok() ? "the role has no SCRAM-SHA-256 password" : "no such role"}});
  }
  // A role that does not exist, or has no such password, gets a challenge all the same: a stranger learns nothing.
  pgwire::ScramServer scram(parsed.ok() ? *parsed : pgwire::MockVerifier(role, host_->mock_secret()));
  bool sent = co_await Send(pgwire::Writer('R').Int32(10).CString("SCRAM-SHA-256").Byte('\0').Finish());
  std::string body;
  bool read = sent && co_await ReadPassword(&body);
  if (!read) {
    co_return false;
  }
  size_t name_end = body.find('\0');
  if (name_end == std::string::npos || body.substr(0, name_end) != "SCRAM-SHA-256" || body.size() < name_end + 5) {
    co_await Refuse("08P01", "client selected an invalid SASL authentication mechanism");
    co_return false;
  }
  absl::StatusOr<std::string> first = scram.First(body.substr(name_end + 5));
  if (!first.ok()) {
    co_await Refuse("08P01", "malformed SCRAM message");
    co_return false;
  }
  sent = co_await Send(pgwire::Writer('R').Int32(11).Bytes(*first).Finish());
  read = sent && co_await ReadPassword(&body);
  if (!read) {
    co_return false;
  }
  absl::StatusOr<std::string> final = scram.Final(body);
  if (!final.ok() || !parsed.ok()) {
    bool wrong = !parsed.ok() || absl::IsUnauthenticated(final.status());
    co_await Refuse(
        wrong ? "28P01" : "08P01",
        wrong ? absl::StrCat("password authentication failed for user \"", role, "\"") : "malformed SCRAM message");
    co_return false;
  }
  handoff_.verifier = *text;
  handoff_.keys = scram.keys();
  co_return co_await Send(pgwire::Writer('R').Int32(12).Bytes(*final).Finish() + pgwire::Writer('R').Int32(0).Finish());
}

asio::awaitable<bool> ClientSession::TryBackend(const clustermetadata::Multipooler& pooler, bool* retry) {
  error_code error;
  *retry = true;
  server_ = LocalSocket(host_->loop());
  std::string path = pgwire::PoolerSocketPath(pooler.pooler_dir());
  if (path.size() > 107) {
    co_await Refuse("08001", absl::StrCat("the pooler's socket path is too long: ", path));
    *retry = false;
    co_return false;
  }
  co_await server_.async_connect(asio::local::stream_protocol::endpoint(path),
                                 asio::redirect_error(asio::use_awaitable, error));
  if (error || !OwnedByUs(server_.native_handle())) {
    co_return false;
  }
  std::string hello = pgwire::EncodeHandoff(handoff_);
  co_await asio::async_write(server_, asio::buffer(hello), asio::redirect_error(asio::use_awaitable, error));
  std::string greeting;
  Backend backend{.socket_path = path};
  while (!error) {
    char head[5];
    co_await asio::async_read(server_, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
    std::uint32_t length = error ? 0 : pgwire::ReadUint32(head + 1);
    if (error || length < 4 || length > (1u << 20)) {
      break;
    }
    std::string body(length - 4, '\0');
    co_await asio::async_read(server_, asio::buffer(body), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      break;
    }
    if (head[0] == 'E') {
      if (pgwire::ParseDiagnostic(body).code == pgwire::kNotServing) {
        co_return false;
      }
      *retry = false;
      co_await Send(std::string(head, 5) + body);
      host_->CountLogin(false);
      co_return false;
    }
    if (head[0] == 'K' && body.size() >= 8) {
      // The client's own process id and secret: its cancel may come to any gateway.
      backend.pid = pgwire::ReadUint32(body.data());
      backend.secret = pgwire::ReadUint32(body.data() + 4);
      greeting +=
          pgwire::Writer('K').Int32(static_cast<std::int32_t>(pid_)).Int32(static_cast<std::int32_t>(secret_)).Finish();
      continue;
    }
    greeting.append(head, 5).append(body);
    if (head[0] == 'Z') {
      backend_ = backend;
      *retry = false;
      host_->CountLogin(true);
      co_return co_await Send(greeting);
    }
  }
  co_return false;
}

asio::awaitable<bool> ClientSession::ConnectBackend() {
  Clock::time_point deadline = Clock::now() + Milliseconds(host_->options().primary_wait);
  bool counted = false;
  for (unsigned turn = 0;; ++turn) {
    std::optional<clustermetadata::Multipooler> pooler = host_->Route(read_only_, turn);
    bool retry = true;
    if (pooler.has_value()) {
      bool connected = co_await TryBackend(*pooler, &retry);
      if (connected) {
        co_return true;
      }
      if (!retry) {
        co_return false;
      }
    }
    if (!client_.is_open() || Clock::now() >= deadline) {
      break;
    }
    if (!counted) {
      host_->CountWait();
      counted = true;
    }
    // Without a candidate only a change helps; with one that refused, it may be about to serve.
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    co_await host_->RoutesChange(pooler.has_value() ? std::min(left, kRetryPause) : left);
  }
  co_await Refuse("57P03", read_only_ ? "no standby serves reads now" : "there is no primary now",
                  "Try again in a moment, or see 'multigres status'.");
  co_return false;
}

asio::awaitable<void> ClientSession::FromBackend() {
  auto self = shared_from_this();
  std::string buffer(kBuffer, '\0');
  error_code error;
  while (!error) {
    size_t n = co_await server_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (!error) {
      co_await asio::async_write(client_, asio::buffer(buffer.data(), n),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
  }
  error_code ignored;
  client_.shutdown(tcp::socket::shutdown_both, ignored);
  backend_done_ = true;
  if (backend_end_ != nullptr) {
    backend_end_->cancel();
  }
}

asio::awaitable<void> ClientSession::Relay() {
  auto self = shared_from_this();
  asio::co_spawn(host_->loop(), FromBackend(), asio::detached);
  std::string buffer(kBuffer, '\0');
  error_code error;
  while (!error) {
    size_t n = co_await client_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (!error) {
      co_await asio::async_write(server_, asio::buffer(buffer.data(), n),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
  }
  // The pooler sees the end, gives its server connection back, and closes.
  error_code ignored;
  server_.shutdown(LocalSocket::shutdown_send, ignored);
  backend_.reset();
  if (!backend_done_) {
    backend_end_ = std::make_unique<asio::steady_timer>(host_->loop(), std::chrono::seconds(10));
    co_await backend_end_->async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  server_.close(ignored);
}

asio::awaitable<void> ClientSession::Run() {
  auto self = shared_from_this();
  error_code ignored;
  client_.set_option(tcp::no_delay(true), ignored);
  tcp::endpoint peer = client_.remote_endpoint(ignored);
  handoff_.client = absl::StrCat(peer.address().to_string(), ":", peer.port());
  // A client that does not finish its login is ended; the wait for a primary has its own bound within it.
  login_timer_.expires_after(Milliseconds(host_->options().authentication_timeout));
  login_timer_.async_wait([self](error_code cancelled) {
    if (!cancelled) {
      error_code closed;
      self->client_.close(closed);
    }
  });
  bool good = co_await ReadStartup();
  good = good && co_await Authenticate();
  good = good && co_await ConnectBackend();
  login_timer_.cancel();
  if (good) {
    co_await Relay();
  }
  client_.close(ignored);
}

void ClientSession::End() {
  error_code ignored;
  client_.non_blocking(true, ignored);
  if (backend_.has_value()) {
    asio::write(
        client_,
        asio::buffer(pgwire::ErrorMessage(
            {.severity = "FATAL", .code = "57P01", .message = "terminating connection due to administrator command"})),
        ignored);
  }
  client_.shutdown(tcp::socket::shutdown_both, ignored);
  server_.close(ignored);
}

}  // namespace mg::multigateway
