#include "agentd/provisioners/local/faults/process_socket.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {
namespace {

int Option(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

SocketEnd EndOf(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {.address = text.data(), .port = ntohs(v4.sin_port)};
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return {.address = std::string(absl::StripPrefix(text.data(), "::ffff:")), .port = ntohs(v6.sin6_port)};
  }
  return {};
}

bool IsTcp(int fd) {
  int domain = Option(fd, SO_DOMAIN);
  return (domain == AF_INET || domain == AF_INET6) && Option(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

}  // namespace

absl::Status Deafen(const ProcessSocket& socket) {
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  sock_fprog program = {.len = 1, .filter = &drop};
  return ::setsockopt(socket.fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("filter a socket of process ", socket.pid));
}

absl::Status Undeafen(const ProcessSocket& socket) {
  int unused = 0;
  // ENOENT: it has no filter.
  return ::setsockopt(socket.fd.get(), SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) == 0 || errno == ENOENT
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("take the filter off a socket of process ", socket.pid));
}

void Inspect(ProcessSocket* socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  socket->listening = Option(socket->fd.get(), SO_ACCEPTCONN) == 1;
  socket->local = ::getsockname(socket->fd.get(), raw, &size) == 0 ? EndOf(address) : SocketEnd{};
  size = sizeof address;
  socket->peer = ::getpeername(socket->fd.get(), raw, &size) == 0 ? EndOf(address) : SocketEnd{};
}

std::map<int, int> ConnectingPorts() {
  constexpr absl::string_view kSynSent = "02";
  std::map<int, int> ports;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    absl::StatusOr<std::string> text = ReadFile(table);
    for (absl::string_view line : absl::StrSplit(text.ok() ? *text : "", '\n')) {
      // "  0: 0100007F:1F90 0100007F:C350 02 …": addresses and ports in hexadecimal.
      std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      int local = 0;
      int remote = 0;
      if (words.size() > 3 && words[3] == kSynSent &&
          absl::SimpleHexAtoi(words[1].substr(words[1].rfind(':') + 1), &local) &&
          absl::SimpleHexAtoi(words[2].substr(words[2].rfind(':') + 1), &remote)) {
        ports[local] = remote;
      }
    }
  }
  return ports;
}

absl::StatusOr<std::vector<ProcessSocket>> SocketFinder::Find(pid_t pid, bool again) {
  std::vector<ProcessSocket> found;
  const std::string directory = absl::StrCat("/proc/", pid, "/fd");
  Process& process = processes_[pid];
  if (!process.pidfd.valid()) {
    process.pidfd.Reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }
  DIR* dir = process.pidfd.valid() ? ::opendir(directory.c_str()) : nullptr;
  if (dir == nullptr) {
    int why = errno;
    processes_.erase(pid);
    return why == EACCES || why == EPERM ? absl::StatusOr<std::vector<ProcessSocket>>(ErrnoStatus(why, directory))
                                         : std::move(found);
  }
  std::map<int, std::string> seen;
  absl::Status status = absl::OkStatus();
  while (dirent* item = ::readdir(dir)) {
    int number = -1;
    std::array<char, 64> target{};
    if (!absl::SimpleAtoi(item->d_name, &number) ||
        ::readlinkat(::dirfd(dir), item->d_name, target.data(), target.size() - 1) <= 0 ||
        !absl::StartsWith(target.data(), "socket:")) {
      continue;
    }
    auto known = process.seen.find(number);
    const bool is_new = known == process.seen.end() || known->second != target.data();
    seen[number] = target.data();
    if (!is_new && !again) {
      continue;
    }
    ProcessSocket socket{.pid = pid, .number = number};
    socket.fd.Reset(static_cast<int>(::syscall(SYS_pidfd_getfd, process.pidfd.get(), number, 0)));
    if (!socket.fd.valid()) {
      if (errno == EPERM) {
        status = ErrnoStatus(errno, absl::StrCat("reach into process ", pid));
        break;
      }
      if (errno == ESRCH) {
        process.pidfd.Reset();  // the number is another process' now, or nobody's
        break;
      }
      continue;  // closed meanwhile
    }
    if (IsTcp(socket.fd.get())) {
      Inspect(&socket);
      found.push_back(std::move(socket));
    }
  }
  ::closedir(dir);
  process.seen = std::move(seen);
  MG_RETURN_IF_ERROR(status);
  return found;
}

}  // namespace mg::local
