#include "common/pgwire/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/unique_fd.h"
#include "common/pgwire/message.h"
#include "common/pgwire/scram.h"
#include "common/status/status.h"

namespace mg::pgwire {
namespace {

constexpr std::uint32_t kMaxMessage = 64 << 20;

absl::Status ServerError(const Diagnostic& diagnostic) {
  std::string text = absl::StrCat(diagnostic.code, ": ", diagnostic.message);
  if (absl::StartsWith(diagnostic.code, "57") || absl::StartsWith(diagnostic.code, "53")) {
    return absl::UnavailableError(text);
  }
  return absl::StartsWith(diagnostic.code, "28") ? absl::UnauthenticatedError(text)
                                                 : absl::FailedPreconditionError(text);
}

class ClientImpl final : public Client {
 public:
  ~ClientImpl() override {
    if (fd_.valid()) {
      static constexpr char kTerminate[] = {'X', 0, 0, 0, 4};
      (void)!::send(fd_.get(), kTerminate, sizeof kTerminate, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }

  absl::Status Start(const ClientOptions& options, absl::Time deadline) {
    MG_RETURN_IF_ERROR(Dial(options, deadline));
    MG_RETURN_IF_ERROR(Send(StartupMessage({{"user", options.user},
                                            {"database", options.database},
                                            {"application_name", options.application_name},
                                            {"client_encoding", "UTF8"}}),
                            deadline));
    return Login(options, deadline);
  }

  absl::StatusOr<std::vector<Row>> Query(const std::string& sql, absl::Time deadline) override {
    MG_RETURN_IF_ERROR(Send(QueryMessage(sql), deadline));
    std::vector<Row> rows;
    absl::Status error;
    for (;;) {
      MG_ASSIGN_OR_RETURN(auto message, Receive(deadline));
      auto& [type, body] = message;
      if (type == 'T') {
        rows.clear();
      } else if (type == 'D') {
        MG_ASSIGN_OR_RETURN(Row row, ParseRow(body));
        rows.push_back(std::move(row));
      } else if (type == 'E') {
        error = ServerError(ParseDiagnostic(body));
      } else if (type == 'Z') {
        if (!error.ok()) {
          return error;
        }
        return rows;
      } else if (type == 'G' || type == 'H' || type == 'W') {
        return absl::FailedPreconditionError("COPY is not for this client");
      }
    }
  }

  std::uint32_t process_id() const override { return process_id_; }
  std::uint32_t secret() const override { return secret_; }

 private:
  absl::Status Dial(const ClientOptions& options, absl::Time deadline) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    bool local = absl::StartsWith(options.host, "/");
    std::string place =
        local ? absl::StrCat(options.host, "/.s.PGSQL.", options.port) : absl::StrCat(options.host, ":", options.port);
    if (local) {
      auto* address = reinterpret_cast<sockaddr_un*>(&storage);
      address->sun_family = AF_UNIX;
      if (place.size() >= sizeof address->sun_path) {
        return absl::InvalidArgumentError(absl::StrCat("the socket path ", place, " is too long"));
      }
      std::memcpy(address->sun_path, place.data(), place.size());
      size = sizeof *address;
    } else {
      auto* address = reinterpret_cast<sockaddr_in*>(&storage);
      address->sin_family = AF_INET;
      address->sin_port = htons(static_cast<std::uint16_t>(options.port));
      if (::inet_pton(AF_INET, options.host == "localhost" ? "127.0.0.1" : options.host.c_str(), &address->sin_addr) !=
          1) {
        return absl::InvalidArgumentError(absl::StrCat("'", options.host, "' is not an IPv4 address"));
      }
      size = sizeof *address;
    }
    fd_.Reset(::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_.valid()) {
      return ErrnoStatus(errno, "socket");
    }
    if (!local) {
      int one = 1;
      ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
      if (errno != EINPROGRESS) {
        return absl::UnavailableError(absl::StrCat("connect to ", place, ": ", std::strerror(errno)));
      }
      MG_RETURN_IF_ERROR(Wait(POLLOUT, deadline));
      int error = 0;
      socklen_t length = sizeof error;
      ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) {
        return absl::UnavailableError(absl::StrCat("connect to ", place, ": ", std::strerror(error)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Login(const ClientOptions& options, absl::Time deadline) {
    ScramClient scram = ScramClient::ByPassword(options.password);
    for (;;) {
      MG_ASSIGN_OR_RETURN(auto message, Receive(deadline));
      auto& [type, body] = message;
      if (type == 'E') {
        return ServerError(ParseDiagnostic(body));
      }
      if (type == 'Z') {
        return absl::OkStatus();
      }
      if (type == 'K' && body.size() >= 8) {
        process_id_ = ReadUint32(body.data());
        secret_ = ReadUint32(body.data() + 4);
      }
      if (type != 'R' || body.size() < 4) {
        continue;
      }
      std::string rest = body.substr(4);
      switch (ReadUint32(body.data())) {
        case 0:
          break;
        case 10: {
          std::string first = scram.First();
          MG_RETURN_IF_ERROR(Send(
              Writer('p').CString("SCRAM-SHA-256").Int32(static_cast<std::int32_t>(first.size())).Bytes(first).Finish(),
              deadline));
          break;
        }
        case 11: {
          MG_ASSIGN_OR_RETURN(std::string final, scram.Final(rest));
          MG_RETURN_IF_ERROR(Send(Writer('p').Bytes(final).Finish(), deadline));
          break;
        }
        case 12:
          MG_RETURN_IF_ERROR(scram.Verify(rest));
          break;
        default:
          return absl::UnimplementedError("the server asks for an authentication that is not SCRAM-SHA-256");
      }
    }
  }

  static absl::StatusOr<Row> ParseRow(const std::string& body) {
    Row row;
    size_t at = 2;
    size_t columns =
        body.size() < 2
            ? 0
            : static_cast<size_t>(static_cast<unsigned char>(body[0]) << 8 | static_cast<unsigned char>(body[1]));
    for (size_t i = 0; i < columns; ++i) {
      if (at + 4 > body.size()) {
        return absl::InternalError("malformed row");
      }
      auto length = static_cast<std::int32_t>(ReadUint32(body.data() + at));
      at += 4;
      if (length < 0) {
        row.push_back(std::nullopt);
        continue;
      }
      if (at + static_cast<size_t>(length) > body.size()) {
        return absl::InternalError("malformed row");
      }
      row.push_back(body.substr(at, static_cast<size_t>(length)));
      at += static_cast<size_t>(length);
    }
    return row;
  }

  absl::Status Wait(short events, absl::Time deadline) {
    for (;;) {
      std::int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
      pollfd wait = {fd_.get(), events, 0};
      int ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(0, std::min<std::int64_t>(left, 1 << 30))));
      if (ready > 0) {
        return absl::OkStatus();
      }
      if (ready == 0) {
        return absl::DeadlineExceededError("PostgreSQL did not answer in time");
      }
      if (errno != EINTR) {
        return ErrnoStatus(errno, "poll");
      }
    }
  }

  absl::Status Send(const std::string& data, absl::Time deadline) {
    size_t done = 0;
    while (done < data.size()) {
      ssize_t n = ::send(fd_.get(), data.data() + done, data.size() - done, MSG_NOSIGNAL);
      if (n > 0) {
        done += static_cast<size_t>(n);
      } else if (errno == EAGAIN) {
        MG_RETURN_IF_ERROR(Wait(POLLOUT, deadline));
      } else if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat("send to PostgreSQL: ", std::strerror(errno)));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::pair<char, std::string>> Receive(absl::Time deadline) {
    for (;;) {
      if (input_.size() >= 5) {
        std::uint32_t length = ReadUint32(input_.data() + 1);
        if (length < 4 || length > kMaxMessage) {
          return absl::InternalError("this is not PostgreSQL's protocol");
        }
        if (input_.size() >= 1 + length) {
          std::pair<char, std::string> message(input_[0], input_.substr(5, length - 4));
          input_.erase(0, 1 + length);
          return message;
        }
      }
      char buffer[8192];
      ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (n > 0) {
        input_.append(buffer, static_cast<size_t>(n));
      } else if (n == 0) {
        return absl::UnavailableError("the server closed the connection");
      } else if (errno == EAGAIN) {
        MG_RETURN_IF_ERROR(Wait(POLLIN, deadline));
      } else if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat("receive from PostgreSQL: ", std::strerror(errno)));
      }
    }
  }

  UniqueFd fd_;
  std::string input_;
  std::uint32_t process_id_ = 0, secret_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options, absl::Time deadline) {
  auto client = std::make_unique<ClientImpl>();
  MG_RETURN_IF_ERROR(client->Start(options, deadline));
  return client;
}

}  // namespace mg::pgwire
