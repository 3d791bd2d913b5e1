/// TCP sockets of other processes of this user: found, told apart, and made deaf. A socket filter that drops everything
/// is put on a socket through pidfd_getfd(2): then no packet reaches it, SYNs to a listening one included, and both
/// ends behave as over a cable that was pulled. It needs no privilege beyond that of tracing the process (same user, or
/// CAP_SYS_PTRACE), and outlives whoever put it there. Any thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fs/unique_fd.h"

namespace mg::local {

/// One end of a connection: numeric address and port, IPv4 also where the socket is an IPv6 one.
struct SocketEnd {
  std::string address;
  int port = 0;
  auto operator<=>(const SocketEnd&) const = default;
};

/// A TCP socket of another process, with a descriptor of our own for it.
struct ProcessSocket {
  pid_t pid = 0;
  int number = -1;  ///< descriptor number over there
  UniqueFd fd;
  bool listening = false;
  SocketEnd local;
  SocketEnd peer;  ///< port 0: not connected
};

/// No packet is received by it from now on / again.
absl::Status Deafen(const ProcessSocket& socket);
absl::Status Undeafen(const ProcessSocket& socket);

/// Fills in where the socket stands now: listening, local, peer.
void Inspect(ProcessSocket* socket);

/// Remote ports of the IPv4 and IPv6 sockets that are just connecting, by their local ports: getpeername(2) does not
/// tell.
std::map<int, int> ConnectingPorts();

/// Finds the TCP sockets of processes. One thread.
class SocketFinder {
 public:
  /// Those that this process has and that were not given before; with `again`, all. PERMISSION_DENIED when this user
  /// may not reach into the process; a process that is gone has none.
  absl::StatusOr<std::vector<ProcessSocket>> Find(pid_t pid, bool again = false);

 private:
  struct Process {
    UniqueFd pidfd;
    std::map<int, std::string> seen;  ///< what a descriptor is, by its number
  };
  std::map<pid_t, Process> processes_;
};

}  // namespace mg::local
