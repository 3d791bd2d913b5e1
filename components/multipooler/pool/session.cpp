#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/pgwire/message.h"
#include "components/multipooler/pool/session.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
constexpr size_t kBuffer = 64 << 10;
constexpr auto kHandoffBound = std::chrono::seconds(5);
constexpr auto kResetBound = std::chrono::seconds(5);

/// Words of a query after which DISCARD ALL does not restore everything.
bool LeavesTraces(absl::string_view message) {
  std::string lower = absl::AsciiStrToLower(message.substr(0, 64 << 10));
  return absl::StrContains(lower, "setseed") || absl::StrContains(lower, "load ") || absl::StrContains(lower, "do ") ||
         absl::StrContains(lower, "load\n");
}

}  // namespace

Session::Session(SessionHost* host, LocalSocket client)
    : host_(host),
      client_(std::move(client)),
      client_scanner_(
          "XQP",
          [this](char type, absl::string_view message) -> std::string {
            if (type == 'X') {
              terminated_ = true;  // ends the session, not the server connection
              return "";
            }
            tainted_ |= LeavesTraces(message);
            BeginClientMessage(type);
            return std::string(message);
          },
          [this](char type) { BeginClientMessage(type); }),
      server_scanner_("ZNSC", [this](char type, absl::string_view message) { return InspectServer(type, message); }) {}

void Session::BeginClientMessage(char type) {
  // Query, Sync and FunctionCall are each answered by one ReadyForQuery. What COPY swallows leaves the count too high:
  // the connection is then not used again, which is safe.
  expected_ready_ += type == 'Q' || type == 'S' || type == 'F' ? 1 : 0;
}

std::string Session::InspectServer(char type, absl::string_view message) {
  absl::string_view body = message.substr(5);
  switch (type) {
    case 'Z':
      server_->transaction = body.empty() ? '?' : body[0];
      --expected_ready_;
      break;
    case 'S': {
      auto [name, value] = pgwire::ParseParameterStatus(body);
      server_->parameters[name] = value;
      break;
    }
    case 'N':
      // By routine, since texts are translated. The warning comes before the CommandComplete whose wait it was.
      sync_cut_short_ |= pgwire::ParseDiagnostic(body).routine == "SyncRepWaitForLSN";
      break;
    case 'C':
      if (sync_cut_short_ && !resetting_) {
        poisoned_ = true;
        return pgwire::ErrorMessage(
            {.severity = "FATAL",
             .code = "40003",
             .message = "the outcome of the transaction is unknown: the wait for a standby was interrupted",
             .hint = "The transaction is on the primary, but maybe nowhere else. Read it back before you try again."});
      }
      break;
    default:
      break;
  }
  // The tail of what an error of unknown outcome ended is not for the client.
  return poisoned_ ? "" : std::string(message);
}

asio::awaitable<bool> Session::ReadHandoff(pgwire::Handoff* handoff) {
  asio::steady_timer timer(host_->loop(), kHandoffBound);
  timer.async_wait([self = shared_from_this()](error_code cancelled) {
    if (!cancelled) {
      error_code ignored;
      self->client_.close(ignored);
    }
  });
  for (;;) {
    char buffer[4096];
    error_code error;
    size_t n = co_await client_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      co_return false;
    }
    from_client_.append(buffer, n);
    size_t consumed = 0;
    absl::StatusOr<pgwire::Handoff> decoded = pgwire::DecodeHandoff(from_client_, &consumed);
    if (!decoded.ok()) {
      log::Warn("a connection was refused", {{"error", decoded.status().message()}});
      co_return false;
    }
    if (consumed > 0) {
      from_client_.erase(0, consumed);
      *handoff = *std::move(decoded);
      co_return true;
    }
  }
}

asio::awaitable<void> Session::Run() {
  auto self = shared_from_this();
  pgwire::Handoff handoff;
  bool good = co_await ReadHandoff(&handoff);
  if (!good) {
    co_return;
  }
  if (handoff.cancel) {
    co_await host_->Cancel(handoff.backend_pid, handoff.backend_secret);
    co_return;
  }
  read_only_ = handoff.read_only;
  error_code error;
  LoginResult login;
  login.error = host_->RefuseMode(read_only_);
  if (login.error.empty()) {
    login = co_await host_->Acquire(handoff);
  }
  if (login.error.empty()) {
    // The mode may have changed while the connection was made.
    login.error = host_->RefuseMode(read_only_);
    if (!login.error.empty()) {
      host_->Release(std::move(login.connection), false);
    }
  }
  if (!login.error.empty()) {
    co_await asio::async_write(client_, asio::buffer(login.error), asio::redirect_error(asio::use_awaitable, error));
    co_return;
  }
  server_ = std::move(login.connection);
  std::string greeting;
  for (const auto& [name, value] : server_->parameters) {
    greeting += pgwire::ParameterStatus(name, value);
  }
  greeting += pgwire::Writer('K')
                  .Int32(static_cast<std::int32_t>(server_->pid))
                  .Int32(static_cast<std::int32_t>(server_->secret))
                  .Finish();
  greeting += pgwire::Writer('Z').Byte('I').Finish();
  co_await asio::async_write(client_, asio::buffer(greeting), asio::redirect_error(asio::use_awaitable, error));
  co_await Relay();
}

asio::awaitable<void> Session::FromServer() {
  auto self = shared_from_this();
  std::string buffer(kBuffer, '\0');
  std::string out;
  error_code error;
  while (!server_ended_) {
    size_t n = co_await server_->socket.async_read_some(asio::buffer(buffer),
                                                        asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      server_ended_ = true;
      break;
    }
    out.clear();
    if (!server_scanner_.Feed(absl::string_view(buffer.data(), n), &out)) {
      log::Error("PostgreSQL sent what is not its protocol", {{"pid", server_->pid}});
      server_ended_ = true;
      break;
    }
    if (!out.empty() && !resetting_) {
      co_await asio::async_write(client_, asio::buffer(out), asio::redirect_error(asio::use_awaitable, error));
    }
    if (poisoned_) {
      server_ended_ = true;
    }
    bool boundary = server_scanner_.at_boundary();
    if (!end_error_.empty() && boundary && !resetting_) {
      co_await asio::async_write(client_, asio::buffer(end_error_), asio::redirect_error(asio::use_awaitable, error));
      server_ended_ = true;
    }
    if (resetting_ && expected_ready_ == 0 && boundary) {
      break;
    }
  }
  if (!resetting_) {
    error_code ignored;
    client_.shutdown(LocalSocket::shutdown_both, ignored);
  }
  reader_done_ = true;
  if (reader_end_ != nullptr) {
    reader_end_->cancel();
  }
}

bool Session::Clean() const {
  return !server_ended_ && !reader_done_ && !tainted_ && !poisoned_ && end_error_.empty() && expected_ready_ == 0 &&
         client_scanner_.at_boundary();
}

asio::awaitable<bool> Session::Reset() {
  resetting_ = true;
  std::string message;
  if (server_->transaction != 'I') {
    message += pgwire::QueryMessage("ROLLBACK");
    ++expected_ready_;
  }
  message += pgwire::QueryMessage("DISCARD ALL");
  ++expected_ready_;
  error_code error;
  co_await asio::async_write(server_->socket, asio::buffer(message), asio::redirect_error(asio::use_awaitable, error));
  if (!error && !reader_done_) {
    reader_end_ = std::make_unique<asio::steady_timer>(host_->loop(), kResetBound);
    co_await reader_end_->async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  co_return reader_done_ && !server_ended_ && server_->transaction == 'I' && server_->parameters == server_->at_login;
}

asio::awaitable<void> Session::Relay() {
  auto self = shared_from_this();
  asio::co_spawn(host_->loop(), FromServer(), asio::detached);
  std::string buffer = std::move(from_client_);
  std::string out;
  error_code error;
  size_t n = buffer.size();
  buffer.resize(std::max(n, kBuffer));
  while (!terminated_ && !server_ended_) {
    if (n > 0) {
      out.clear();
      if (!client_scanner_.Feed(absl::string_view(buffer.data(), n), &out)) {
        tainted_ = true;
        break;
      }
      if (!out.empty()) {
        co_await asio::async_write(server_->socket, asio::buffer(out),
                                   asio::redirect_error(asio::use_awaitable, error));
      }
      if (error) {
        break;
      }
    }
    if (terminated_) {
      break;
    }
    n = co_await client_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      break;
    }
  }
  bool clean = Clean();
  if (clean) {
    clean = co_await Reset();
  }
  if (!reader_done_) {
    // The reader holds on to the connection until its read has ended.
    error_code ignored;
    server_ended_ = true;
    server_->socket.shutdown(LocalSocket::shutdown_both, ignored);
    reader_end_ = std::make_unique<asio::steady_timer>(host_->loop(), kResetBound);
    co_await reader_end_->async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  host_->Release(std::move(server_), clean);
}

void Session::End(const std::string& code, const std::string& message) {
  end_error_ = pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message});
  if (server_ == nullptr) {
    error_code ignored;
    client_.close(ignored);
    return;
  }
  if (server_scanner_.at_boundary() && !resetting_) {
    // Between two messages from the server: the client may be told at once. A full socket is not waited for.
    error_code ignored;
    client_.non_blocking(true, ignored);
    asio::write(client_, asio::buffer(end_error_), ignored);
  }
  error_code ignored;
  server_ended_ = true;
  server_->socket.shutdown(LocalSocket::shutdown_both, ignored);
  client_.shutdown(LocalSocket::shutdown_both, ignored);
}

}  // namespace mg::multipooler
