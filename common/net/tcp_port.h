/// Loopback TCP ports: is one free, and who has it. Any thread; blocking only on /proc.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace mg::net {

/// A server could listen on 127.0.0.1:`port` now. Looks as servers do (SO_REUSEADDR), so connections that linger in
/// TIME_WAIT do not count. Ports below 1024 that this user may not bind are not free.
bool IsPortFree(int port);

/// The process that listens on a port.
struct PortHolder {
  pid_t pid = 0;     ///< 0: it belongs to another user, or to another pid namespace
  std::string name;  ///< its comm; empty when pid is 0
};

/// Who listens on `port` on loopback or on all addresses; nothing when nobody does.
std::optional<PortHolder> HolderOf(int port);

/// "postgres (pid 4711)", or what can be said without that.
std::string DescribeHolder(const std::optional<PortHolder>& holder);

}  // namespace mg::net
