#include "components/multipooler/pool/server_connection.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "common/pgwire/message.h"
#include "common/pgwire/scram.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
constexpr std::uint32_t kMaxLoginMessage = 1 << 20;
constexpr size_t kMaxSocketPath = 107;
constexpr auto kCancelBound = std::chrono::seconds(5);

/// Where PostgreSQL listens; `error` when the path is too long or the host is no address.
ServerSocket::endpoint_type EndpointOf(const PostgresEndpoint& postgres, error_code* error) {
  if (postgres.socket_directory.empty()) {
    std::string host = postgres.host == "localhost" ? "127.0.0.1" : postgres.host;
    asio::ip::address address = asio::ip::make_address(host, *error);
    return asio::ip::tcp::endpoint(address, static_cast<std::uint16_t>(postgres.port));
  }
  std::string path = absl::StrCat(postgres.socket_directory, "/.s.PGSQL.", postgres.port);
  if (path.size() > kMaxSocketPath) {
    *error = make_error_code(boost::system::errc::filename_too_long);
    return {};
  }
  return asio::local::stream_protocol::endpoint(path);
}

std::string Refusal(const std::string& code, const std::string& message) {
  return pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message});
}

/// Reads one message of the login.
asio::awaitable<error_code> ReadMessage(ServerSocket& socket, char* type, std::string* body) {
  error_code error;
  char head[5];
  co_await asio::async_read(socket, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    co_return error;
  }
  std::uint32_t length = pgwire::ReadUint32(head + 1);
  if (length < 4 || length > kMaxLoginMessage) {
    co_return make_error_code(boost::system::errc::protocol_error);
  }
  *type = head[0];
  body->assign(length - 4, '\0');
  co_await asio::async_read(socket, asio::buffer(*body), asio::redirect_error(asio::use_awaitable, error));
  co_return error;
}

/// The answer to an authentication request; empty: none is due; `failed` set: the server asks for what we do not speak.
std::string Answer(const std::string& body, pgwire::ScramClient* scram, bool* failed) {
  std::string rest = body.substr(std::min<size_t>(4, body.size()));
  switch (body.size() < 4 ? 99 : pgwire::ReadUint32(body.data())) {
    case 0:
      return "";
    case 10: {
      std::string first = scram->First();
      return pgwire::Writer('p')
          .CString("SCRAM-SHA-256")
          .Int32(static_cast<std::int32_t>(first.size()))
          .Bytes(first)
          .Finish();
    }
    case 11: {
      absl::StatusOr<std::string> final = scram->Final(rest);
      *failed = !final.ok();
      return final.ok() ? pgwire::Writer('p').Bytes(*final).Finish() : "";
    }
    case 12:
      *failed = !scram->Verify(rest).ok();
      return "";
    default:
      *failed = true;
      return "";
  }
}

asio::awaitable<LoginResult> Login(PostgresEndpoint postgres, pgwire::Handoff handoff,
                                   std::shared_ptr<ServerConnection> connection) {
  error_code error;
  ServerSocket::endpoint_type endpoint = EndpointOf(postgres, &error);
  if (!error) {
    co_await connection->socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  }
  LoginResult result;
  if (error) {
    result.error = Refusal(pgwire::kNotServing, absl::StrCat("PostgreSQL does not answer: ", error.message()));
    co_return result;
  }
  std::string startup = pgwire::StartupMessage(handoff.parameters);
  co_await asio::async_write(connection->socket, asio::buffer(startup),
                             asio::redirect_error(asio::use_awaitable, error));
  pgwire::ScramClient scram = pgwire::ScramClient::ByKeys(handoff.keys);
  while (!error) {
    char type = 0;
    std::string body;
    error = co_await ReadMessage(connection->socket, &type, &body);
    if (error) {
      break;
    }
    if (type == 'E') {
      result.error = pgwire::Writer('E').Bytes(body).Finish();
      co_return result;
    }
    if (type == 'N') {
      connection->notices += pgwire::Writer('N').Bytes(body).Finish();
    } else if (type == 'S') {
      auto [name, value] = pgwire::ParseParameterStatus(body);
      connection->at_login[name] = value;
    } else if (type == 'K' && body.size() >= 8) {
      connection->pid = pgwire::ReadUint32(body.data());
      connection->secret = pgwire::ReadUint32(body.data() + 4);
    } else if (type == 'Z') {
      connection->parameters = connection->at_login;
      connection->opened = Clock::now();
      co_return result;
    } else if (type == 'R') {
      bool failed = false;
      std::string answer = Answer(body, &scram, &failed);
      if (failed) {
        result.error = Refusal("28000", "PostgreSQL asks the pooler for an authentication that it cannot give");
        co_return result;
      }
      if (!answer.empty()) {
        co_await asio::async_write(connection->socket, asio::buffer(answer),
                                   asio::redirect_error(asio::use_awaitable, error));
      }
    }
  }
  result.error = Refusal(pgwire::kNotServing, absl::StrCat("PostgreSQL broke off the login: ", error.message()));
  co_return result;
}

}  // namespace

std::string KeyOf(const pgwire::Handoff& handoff) {
  // Names and values were zero-terminated on the wire, so a zero byte is in none of them.
  std::string key = handoff.verifier + '\0';
  for (const auto& [name, value] : handoff.parameters) {
    key.append(name).append(1, '\0').append(value).append(1, '\0');
  }
  return key;
}

asio::awaitable<LoginResult> OpenServerConnection(asio::io_context& loop, const PostgresEndpoint& postgres,
                                                  const pgwire::Handoff& handoff, std::chrono::milliseconds bound) {
  auto connection = std::make_shared<ServerConnection>(loop);
  connection->key = KeyOf(handoff);
  connection->verifier = handoff.verifier;
  for (const auto& [name, value] : handoff.parameters) {
    if (name == "user" || name == "database") {
      (name == "user" ? connection->role : connection->database) = value;
    }
  }
  // The timer closes the socket; every wait of the login then ends with an error.
  asio::steady_timer timer(loop, bound);
  timer.async_wait([connection](error_code cancelled) {
    if (!cancelled) {
      error_code ignored;
      connection->socket.close(ignored);
    }
  });
  LoginResult result = co_await Login(postgres, handoff, connection);
  timer.cancel();
  if (result.error.empty()) {
    if (connection->socket.is_open()) {
      result.connection = std::make_unique<ServerConnection>(std::move(*connection));
    } else {
      result.error = Refusal(pgwire::kNotServing, "PostgreSQL took too long for a login");
    }
  }
  co_return result;
}

asio::awaitable<void> SendCancel(asio::io_context& loop, const PostgresEndpoint& postgres, std::uint32_t pid,
                                 std::uint32_t secret) {
  auto socket = std::make_shared<ServerSocket>(loop);
  asio::steady_timer timer(loop, kCancelBound);
  timer.async_wait([socket](error_code cancelled) {
    if (!cancelled) {
      error_code ignored;
      socket->close(ignored);
    }
  });
  error_code error;
  ServerSocket::endpoint_type endpoint = EndpointOf(postgres, &error);
  std::string message = pgwire::CancelMessage(pid, secret);
  if (!error) {
    co_await socket->async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  }
  if (!error) {
    co_await asio::async_write(*socket, asio::buffer(message), asio::redirect_error(asio::use_awaitable, error));
    char end[1];
    co_await asio::async_read(*socket, asio::buffer(end), asio::redirect_error(asio::use_awaitable, error));
  }
}

}  // namespace mg::multipooler
