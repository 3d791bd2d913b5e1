#include "components/multigateway/client_session.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/topology/topology.h"

namespace mg::multigateway {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kTlsBuffer = 16 << 10;
constexpr auto kRetryPause = std::chrono::milliseconds(50);
/// The pooler's own bounds (look-up, queue, PostgreSQL's login) end before.
constexpr auto kPoolerBound = std::chrono::seconds(20);
constexpr std::uint32_t kMaxGreeting = 1 << 20;
/// A former primary's pooler has so long to hand its sessions back when another node leads.
constexpr auto kSupersededGrace = std::chrono::milliseconds(300);
/// Less is not held back: one byte would be any text's.
constexpr size_t kLeastCut = 2;
/// PostgreSQL starts, stops or recovers: it may be better in a moment, or elsewhere.
constexpr char kCannotConnectNow[] = "57P03";
constexpr absl::string_view kTerminate("X\0\0\0\4", 5);

// How many bytes at the end of `text` begin the marker.
size_t CutMarker(absl::string_view text, absl::string_view marker) {
  for (size_t n = std::min(marker.size() - 1, text.size()); n >= kLeastCut; --n) {
    if (absl::EndsWith(text, marker.substr(0, n))) {
      return n;
    }
  }
  return 0;
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
      superseded_timer_(host->loop()),
      login_timer_(host->loop()),
      backend_end_(host->loop(), Clock::time_point::max()) {}

asio::awaitable<ClientSession::Try> ClientSession::TryBackend(PoolerAddress address) {
  error_code error;
  absl::StatusOr<LocalSocket> connected = co_await host_->pooler_link().Connect(address);
  if (!connected.ok() || ended_) {
    co_return Try::kAgain;
  }
  server_ = *std::move(connected);
  std::string hello = pgwire::EncodeHandoff(handoff_);
  co_await asio::async_write(server_, asio::buffer(hello), asio::redirect_error(asio::use_awaitable, error));
  std::string greeting;
  Backend backend{.address = address};
  while (!error) {
    char head[5];
    co_await asio::async_read(server_, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
    std::uint32_t length = error ? 0 : pgwire::ReadUint32(head + 1);
    if (error || length < 4 || length > kMaxGreeting) {
      break;
    }
    std::string body(length - 4, '\0');
    co_await asio::async_read(server_, asio::buffer(body), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      break;
    }
    if (head[0] == 'E') {
      std::string code = pgwire::ParseDiagnostic(body).code;
      if (code == pgwire::kNotServing || code == kCannotConnectNow) {
        co_return Try::kAgain;
      }
      std::string answer = std::string(head, sizeof head) + body;
      co_await Send(std::move(answer));
      host_->CountLogin(false);
      co_return Try::kRefused;
    }
    if (head[0] == 'K' && body.size() >= 8) {
      // The client's own process id and secret: its cancel may come to any gateway.
      backend.pid = pgwire::ReadUint32(body.data());
      backend.secret = pgwire::ReadUint32(body.data() + 4);
      greeting +=
          pgwire::Writer('K').Int32(static_cast<std::int32_t>(pid_)).Int32(static_cast<std::int32_t>(secret_)).Finish();
      continue;
    }
    greeting.append(head, sizeof head).append(body);
    if (head[0] == 'Z') {
      backend_ = backend;
      rest_ = pgwire::RestNote{
          .tag = pid_, .backend_pid = backend.pid, .backend_secret = backend.secret, .replay = handoff_.replay};
      heard_ = unanswered_.size();
      said_ = 0;
      at_ready_ = true;
      host_->CountLogin(true);
      if (!read_only_) {
        host_->ServedBy(address);
      }
      if (moved_) {
        // The client has had its greeting; the session's state is as it was.
        co_await asio::async_write(server_, asio::buffer(unanswered_),
                                   asio::redirect_error(asio::use_awaitable, error));
        co_return error ? Try::kRefused : Try::kConnected;
      }
      bool sent = co_await Send(std::move(greeting));
      co_return sent ? Try::kConnected : Try::kRefused;
    }
  }
  co_return Try::kAgain;
}

asio::awaitable<bool> ClientSession::ConnectBackend() {
  auto self = shared_from_this();
  Clock::time_point deadline = Clock::now() + absl::ToChronoMilliseconds(host_->options().primary_wait);
  bool counted = false;
  for (unsigned turn = 0; !ended_; ++turn) {
    std::optional<clustermetadata::Multipooler> pooler = host_->Route(database_, read_only_, turn);
    if (pooler.has_value()) {
      absl::StatusOr<PoolerAddress> address = host_->pooler_link().AddressOf(*pooler);
      if (!address.ok()) {
        std::string refusal = Fatal("08001", std::string(address.status().message()));
        co_await Refuse(std::move(refusal));
        co_return false;
      }
      trying_ = topology::IdString(pooler->id());
      asio::steady_timer bound(host_->loop(), kPoolerBound);
      bound.async_wait([self](error_code cancelled) {
        if (!cancelled) {
          error_code ignored;
          self->server_.close(ignored);
        }
      });
      Try result = co_await TryBackend(*address);
      serving_ = result == Try::kConnected ? std::exchange(trying_, "") : "";
      trying_.clear();
      if (result != Try::kAgain) {
        co_return result == Try::kConnected;
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
  std::string refusal = Fatal("57P03", read_only_ ? "no standby serves reads now" : "there is no primary now",
                              "Try again in a moment, or see 'multigres status'.");
  co_await Refuse(std::move(refusal));
  co_return false;
}

void ClientSession::RoutesChanged() {
  if (read_only_ || (trying_.empty() && serving_.empty())) {
    return;
  }
  const std::string& id = host_->PrimaryId(database_);
  if (id.empty()) {
    return;
  }
  if (!trying_.empty() && id != trying_) {
    error_code ignored;
    server_.close(ignored);
  } else if (trying_.empty() && id != serving_) {
    if (!moved_ && MovesByItself()) {
      error_code ignored;
      server_.close(ignored);
      return;
    }
    superseded_timer_.expires_after(kSupersededGrace);
    superseded_timer_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled) {
        self->EndIfSuperseded();
      }
    });
  }
}

void ClientSession::EndIfSuperseded() {
  const std::string& id = host_->PrimaryId(database_);
  if (id.empty() || serving_.empty() || moved_ || id == serving_) {
    return;
  }
  if (MovesByItself()) {
    error_code ignored;
    server_.close(ignored);
  } else {
    EndWith("terminating connection: another node is the primary now");
  }
}

asio::awaitable<void> ClientSession::FromBackend() {
  auto self = shared_from_this();
  if (!client_.encrypted()) {
    auto take = [this](absl::string_view read, bool* last) { return TakeFromBackend(read, last); };
    co_await relay::Pump(server_, client_.plain(), host_->scratch(), take, &writing_to_client_);
  } else {
    std::string buffer(kTlsBuffer, '\0');
    error_code error;
    while (!error) {
      size_t n =
          co_await server_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
      bool last = false;
      absl::string_view passed =
          error ? absl::string_view() : TakeFromBackend(absl::string_view(buffer.data(), n), &last);
      if (!passed.empty()) {
        writing_to_client_ = true;
        error = co_await client_.Write(passed);
        writing_to_client_ = false;
      }
      if (last) {
        break;
      }
    }
  }
  if (!moved_ && !MovesByItself()) {
    // The pooler has said its last, or the client is gone: either way both sides end.
    error_code ignored;
    if (!ended_ && !left_) {
      TellEnd("terminating connection: its pooler was lost");
    }
    server_.shutdown(LocalSocket::shutdown_both, ignored);
    client_.Shutdown();
  }
  backend_done_ = true;
  backend_end_.cancel();
}

// The marker comes at a message's end and as the pooler's last word, so it is at the end of what was read, or cut in
// two.
absl::string_view ClientSession::TakeFromBackend(absl::string_view read, bool* last) {
  if (!held_.empty()) {
    joined_ = std::exchange(held_, "");
    joined_.append(read.data(), read.size());
    read = joined_;
  }
  if (!marker_.empty()) {
    if (absl::EndsWith(read, marker_)) {
      moved_ = *last = true;
      read.remove_suffix(marker_.size());
    } else if (size_t cut = CutMarker(read, marker_); cut > 0) {
      held_ = std::string(read.substr(read.size() - cut));
      read.remove_suffix(cut);
    }
  }
  if (stats_ != nullptr) {
    stats_->FromServer(read);
  }
  said_ += read.size();
  if (!read.empty()) {
    at_ready_ = absl::EndsWith(read.substr(0, read.size() - 1), absl::string_view("Z\0\0\0\5", 5));
  }
  return read;
}

asio::awaitable<error_code> ClientSession::FromClient() {
  error_code error;
  auto take = [this](absl::string_view read, bool*) {
    if (by_itself_) {
      unanswered_.append(read.data(), read.size());
      return absl::string_view();
    }
    heard_ += read.size();
    left_ = absl::EndsWith(read, kTerminate);
    if (stats_ != nullptr) {
      stats_->FromClient(read);
    }
    return read;
  };
  if (!client_.encrypted()) {
    co_return co_await relay::Pump(client_.plain(), server_, host_->scratch(), take, &writing_to_server_);
  }
  std::string buffer(kTlsBuffer, '\0');
  while (!error) {
    size_t n = co_await client_.ReadSome(buffer.data(), buffer.size(), &error);
    absl::string_view passed = error ? absl::string_view() : take(absl::string_view(buffer.data(), n), nullptr);
    if (!passed.empty()) {
      co_await asio::async_write(server_, asio::buffer(passed.data(), passed.size()),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
  }
  co_return error;
}

asio::awaitable<void> ClientSession::Relay() {
  auto self = shared_from_this();
  error_code error, ignored;
  stats_ = host_->NewSessionStats();
  for (;;) {
    backend_done_ = false;
    asio::co_spawn(host_->loop(), FromBackend(), asio::detached);
    error = co_await FromClientOrMoved();
    if (!moved_ || ended_ || error != asio::error::operation_aborted) {
      break;
    }
    bool moved = co_await Move();
    if (!moved) {
      co_return;
    }
  }
  left_ |= error != asio::error::broken_pipe;  // else it is the pooler that takes nothing more
  // A client that only stops to send still gets what it asked for, as from PostgreSQL itself.
  server_.shutdown(error == asio::error::eof ? LocalSocket::shutdown_send : LocalSocket::shutdown_both, ignored);
  while (!backend_done_) {
    co_await backend_end_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  server_.close(ignored);
}

asio::awaitable<void> ClientSession::Run() {
  auto self = shared_from_this();
  error_code ignored;
  client_.plain().set_option(tcp::no_delay(true), ignored);
  client_.plain().set_option(asio::socket_base::keep_alive(true), ignored);
  tcp::endpoint peer = client_.plain().remote_endpoint(ignored);
  handoff_.client = absl::StrCat(peer.address().to_string(), ":", peer.port());
  // A client that does not finish its login is ended; the wait for a primary has its own bound within it.
  login_timer_.expires_after(absl::ToChronoMilliseconds(host_->options().authentication_timeout));
  login_timer_.async_wait([self](error_code cancelled) {
    if (!cancelled) {
      error_code closed;
      self->ended_ = true;
      self->client_.Close();
      self->server_.close(closed);
    }
  });
  bool good = co_await ReadStartup();
  good = good && co_await Authenticate();
  good = good && co_await ConnectBackend();
  login_timer_.cancel();
  if (good && !ended_) {
    co_await Relay();
  }
  serving_.clear();
  superseded_timer_.cancel();
  client_.Close();
}

// Only where the client waits for an answer of which nothing has come, or for nothing: never into the middle of a
// message. What is encrypted would have to be waited for.
void ClientSession::TellEnd(const std::string& message) {
  if (at_ready_ && held_.empty() && !writing_to_client_ && !client_.encrypted()) {
    std::string error = Fatal("57P01", message);
    error_code ignored;
    client_.plain().non_blocking(true, ignored);
    client_.plain().write_some(asio::buffer(error), ignored);
  }
}

void ClientSession::End() { EndWith("terminating connection due to administrator command"); }

void ClientSession::EndWith(const std::string& message) {
  if (ended_) {
    return;
  }
  ended_ = true;
  error_code ignored;
  TellEnd(message);
  client_.Shutdown();
  server_.close(ignored);
}

}  // namespace mg::multigateway
