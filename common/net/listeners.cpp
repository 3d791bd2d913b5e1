#include "common/net/listeners.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/fs/unique_fd.h"
#include "common/status/status.h"

namespace mg::net {

namespace {

constexpr size_t kBuffer = 32 << 10;

absl::Status NotTold(int error) {
  return absl::UnavailableError(absl::StrCat("the kernel does not list sockets: ", std::strerror(error)));
}

/// 127.0.0.1, everywhere, or the like in IPv6, where everywhere includes IPv4.
bool CoversLoopback(const inet_diag_sockid& id, int family) {
  if (family == AF_INET) {
    return id.idiag_src[0] == 0 || id.idiag_src[0] == htonl(INADDR_LOOPBACK);
  }
  bool mapped = id.idiag_src[2] == htonl(0xFFFF) && id.idiag_src[3] == htonl(INADDR_LOOPBACK);
  return id.idiag_src[0] == 0 && id.idiag_src[1] == 0 && ((id.idiag_src[2] == 0 && id.idiag_src[3] == 0) || mapped);
}

absl::Status Ask(int fd, int family) {
  struct {
    nlmsghdr header{};
    inet_diag_req_v2 body{};
  } request;
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = static_cast<std::uint8_t>(family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << TCP_LISTEN;
  return send(fd, &request, sizeof(request), 0) == sizeof(request) ? absl::OkStatus() : NotTold(errno);
}

/// Reads one answer, which may come in several parts.
absl::Status Collect(int fd, int family, std::set<int>* ports) {
  std::vector<char> buffer(kBuffer);
  for (;;) {
    ssize_t size = recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size <= 0) {
      return NotTold(size == 0 ? ECONNRESET : errno);
    }
    auto left = static_cast<unsigned>(size);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) {
        return absl::OkStatus();
      }
      if (header->nlmsg_type == NLMSG_ERROR) {
        return NotTold(-static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error);
      }
      const auto* socket = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
      if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && CoversLoopback(socket->id, family)) {
        ports->insert(ntohs(socket->id.idiag_sport));
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::set<int>> LoopbackListeners() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd.valid()) {
    return NotTold(errno);
  }
  std::set<int> ports;
  for (int family : {AF_INET, AF_INET6}) {
    MG_RETURN_IF_ERROR(Ask(fd.get(), family));
    absl::Status status = Collect(fd.get(), family, &ports);
    // A kernel without IPv6 has nothing to say about it.
    if (!status.ok() && family == AF_INET) {
      return status;
    }
  }
  return ports;
}

}  // namespace mg::net
