#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "agentd/provisioners/contract.h"

namespace mg::provisioners {

CancelToken::CancelToken() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

CancelToken::~CancelToken() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

void CancelToken::Cancel() {
  if (!cancelled_.exchange(true)) {
    ::eventfd_write(fd_, 1);
  }
}

bool CancelToken::cancelled() const { return cancelled_.load(); }

int CancelToken::fd() const { return fd_; }

bool CancelToken::WaitUntil(absl::Time deadline) const {
  while (!cancelled()) {
    absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return false;
    }
    // Without a descriptor (none were left) the flag is looked at ten times a second.
    pollfd readable = {.fd = fd_, .events = POLLIN};
    absl::Duration slice = std::min(left, fd_ >= 0 ? absl::Hours(1) : absl::Milliseconds(100));
    timespec timeout = absl::ToTimespec(slice);
    if (::ppoll(&readable, 1, &timeout, nullptr) < 0 && errno != EINTR) {
      return cancelled();
    }
  }
  return true;
}

}  // namespace mg::provisioners
