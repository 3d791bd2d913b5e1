/// What a service and systemd say to each other: sockets that it hands over (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS),
/// and word of the service's state (sd_notify(3): datagrams to NOTIFY_SOCKET; WATCHDOG_USEC, WATCHDOG_PID). Both are a
/// few lines; libsystemd would bring four libraries into a small process.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fs/unique_fd.h"

namespace mg::systemd {

using Environment = std::map<std::string, std::string>;

/// The descriptors that were handed to this process, which owns them from now on (and its children do not get them).
/// Empty when there are none, or when they are another process's. INVALID_ARGUMENT for variables that make no sense.
/// Once per process: the descriptors are taken.
absl::StatusOr<std::vector<UniqueFd>> TakeListenFds(const Environment& environment);

/// Tells systemd how the service is. Any thread; never blocks; without systemd it does nothing.
class Notifier {
 public:
  explicit Notifier(const Environment& environment);
  bool active() const { return !socket_.empty(); }

  /// Ready to serve, with a line for `systemctl status`.
  void Ready(const std::string& status) const;
  void Status(const std::string& status) const;
  void Stopping() const;
  /// Still well. To be said more often than every `watchdog()`.
  void Watchdog() const;
  /// The silence after which systemd takes the service for dead; infinite: it does not look.
  absl::Duration watchdog() const { return watchdog_; }

 private:
  void Send(const std::string& message) const;

  std::string socket_;
  absl::Duration watchdog_ = absl::InfiniteDuration();
};

}  // namespace mg::systemd
