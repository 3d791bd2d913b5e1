#include "components/pgctld/probe.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/fs/unique_fd.h"

namespace mg::pgctld {
namespace {

constexpr std::uint32_t kProtocol3 = 196608;
constexpr char kCannotConnectNow[] = "57P03";  // starting up, shutting down, in recovery

std::string StartupPacket(const std::string& user) {
  using namespace std::string_literals;  // NOLINT: for text with zero bytes
  std::string body = "user\0"s + user + "\0database\0postgres\0\0"s;
  std::uint32_t head[2] = {htonl(static_cast<std::uint32_t>(body.size() + 8)), htonl(kProtocol3)};
  return std::string(reinterpret_cast<const char*>(head), sizeof head) + body;
}

bool WaitReadable(int fd, absl::Time deadline) {
  pollfd wait = {fd, POLLIN, 0};
  auto left = static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now()));
  return left >= 0 && ::poll(&wait, 1, left) == 1;
}

}  // namespace

bool AcceptsConnections(const std::string& socket_path, const std::string& user, absl::Duration bound) {
  absl::Time deadline = absl::Now() + bound;
  sockaddr_un address{};
  if (socket_path.size() >= sizeof address.sun_path) {
    return false;
  }
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, socket_path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return false;
  }
  std::string packet = StartupPacket(user);
  if (::send(fd.get(), packet.data(), packet.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(packet.size())) {
    return false;
  }
  std::string answer;
  char buffer[1024];
  while (WaitReadable(fd.get(), deadline)) {
    ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (n <= 0) {
      break;
    }
    answer.append(buffer, static_cast<size_t>(n));
    // A request for authentication, or any error but the one that says "not now".
    if (answer[0] != 'E') {
      return answer[0] == 'R';
    }
    if (absl::StrContains(answer, kCannotConnectNow)) {
      return false;
    }
  }
  return !answer.empty();
}

}  // namespace mg::pgctld
