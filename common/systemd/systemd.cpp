#include "common/systemd/systemd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::systemd {
namespace {

constexpr int kFirstFd = 3;
constexpr int kMostFds = 64;

std::string Value(const Environment& environment, const std::string& name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

/// The variable is for this process: it names our pid, or nobody's.
bool IsOurs(const Environment& environment, const std::string& variable) {
  std::string text = Value(environment, variable);
  pid_t pid = 0;
  return text.empty() || (absl::SimpleAtoi(text, &pid) && pid == ::getpid());
}

}  // namespace

absl::StatusOr<std::vector<UniqueFd>> TakeListenFds(const Environment& environment) {
  std::vector<UniqueFd> fds;
  std::string count_text = Value(environment, "LISTEN_FDS");
  if (count_text.empty() || Value(environment, "LISTEN_PID").empty() || !IsOurs(environment, "LISTEN_PID")) {
    return fds;
  }
  int count = 0;
  if (!absl::SimpleAtoi(count_text, &count) || count < 0 || count > kMostFds) {
    return absl::InvalidArgumentError(absl::StrCat("LISTEN_FDS is '", count_text, "', which is no number of sockets"));
  }
  for (int fd = kFirstFd; fd < kFirstFd + count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return ErrnoStatus(errno, absl::StrCat("take descriptor ", fd, " of ", count, " that LISTEN_FDS promises"));
    }
    fds.emplace_back(fd);
  }
  return fds;
}

Notifier::Notifier(const Environment& environment) : socket_(Value(environment, "NOTIFY_SOCKET")) {
  if (!socket_.empty() && socket_[0] != '/' && socket_[0] != '@') {
    socket_.clear();  // another family: nobody that we know listens there
  }
  std::int64_t microseconds = 0;
  if (IsOurs(environment, "WATCHDOG_PID") && absl::SimpleAtoi(Value(environment, "WATCHDOG_USEC"), &microseconds) &&
      microseconds > 0) {
    watchdog_ = absl::Microseconds(microseconds);
  }
}

void Notifier::Ready(const std::string& status) const { Send(absl::StrCat("READY=1\nSTATUS=", status)); }
void Notifier::Status(const std::string& status) const { Send(absl::StrCat("STATUS=", status)); }
void Notifier::Stopping() const { Send("STOPPING=1\nSTATUS=ending; the components go on"); }
void Notifier::Watchdog() const { Send("WATCHDOG=1"); }

void Notifier::Send(const std::string& message) const {
  sockaddr_un address = {};
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) {
    return;
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') {
    address.sun_path[0] = '\0';  // an abstract name
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Nobody there is no fault of the service's.
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
}

}  // namespace mg::systemd
