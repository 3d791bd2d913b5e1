#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/unique_fd.h"
#include "common/shim_protocol/internal.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"

namespace mg::shim {
namespace {

class Client final : public ShimClient {
 public:
  Client(UniqueFd fd, std::string run_dir) : fd_(std::move(fd)), run_dir_(std::move(run_dir)) {}

  absl::Status Signal(int signal, bool whole_tree) override {
    return Send(absl::StrCat("signal ", signal, " ", whole_tree ? 1 : 0, "\n"));
  }

  absl::Status Stop(const std::vector<StopStep>& ladder) override {
    std::string line = "stop";
    for (const StopStep& step : ladder) {
      absl::StrAppend(&line, " ", FormatStep(step));
    }
    return Send(line + "\n");
  }

  int fd() const override { return fd_.get(); }

  absl::StatusOr<ExitRecord> WaitExit(absl::Time deadline) override {
    for (;;) {
      size_t end = 0;
      while ((end = input_.find('\n')) != std::string::npos) {
        std::string line = input_.substr(0, end);
        input_.erase(0, end + 1);
        if (absl::StartsWith(line, "exited ")) {
          return Parse(line);
        }
      }
      pollfd wait = {fd_.get(), POLLIN, 0};
      int ready = ::poll(&wait, 1, MillisecondsUntil(deadline));
      if (ready == 0) {
        return absl::DeadlineExceededError("it still runs");
      }
      char buffer[512];
      ssize_t n = ready > 0 ? ::recv(fd_.get(), buffer, sizeof buffer, 0) : -1;
      if (n > 0) {
        input_.append(buffer, static_cast<size_t>(n));
      } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        // The message may have been cut off by the shim's own end; the file cannot.
        if (ShimState state = ReadShimState(run_dir_); state.exit.has_value() && !state.child_alive) {
          return *state.exit;
        }
        return absl::UnavailableError("the shim is gone and left no exit record");
      }
    }
  }

 private:
  absl::Status Send(const std::string& line) {
    ssize_t n = ::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    return n == static_cast<ssize_t>(line.size()) ? absl::OkStatus()
                                                  : absl::UnavailableError("the shim does not listen any more");
  }

  static absl::StatusOr<ExitRecord> Parse(const std::string& line) {
    std::vector<std::string> parts = absl::StrSplit(line, ' ');
    std::int64_t values[5] = {};
    for (size_t i = 0; i < 5; ++i) {
      if (parts.size() < 6 || !absl::SimpleAtoi(parts[i + 1], &values[i])) {
        return absl::InternalError(absl::StrCat("the shim said: ", line));
      }
    }
    return ExitRecord{.exit_code = static_cast<int>(values[0]),
                      .signal = static_cast<int>(values[1]),
                      .started = absl::FromUnixNanos(values[2]),
                      .ended = absl::FromUnixNanos(values[3]),
                      .ran = absl::Nanoseconds(std::max<std::int64_t>(0, values[3] - values[2])),
                      .generation = values[4]};
  }

  UniqueFd fd_;
  std::string run_dir_;
  std::string input_;
};

/// Without a shim: the ladder by our own hand, only ever against the recorded identity.
absl::Status StopDirectly(const ProcessId& child, const std::vector<StopStep>& ladder) {
  std::vector<StopStep> steps = ladder;
  steps.push_back({.signal = SIGKILL, .wait = absl::Seconds(5)});
  for (const StopStep& step : steps) {
    if (absl::Status status = SignalProcess(child, step.signal); !status.ok()) {
      return absl::IsNotFound(status) ? absl::OkStatus() : status;
    }
    if (WaitGone(child, absl::Now() + step.wait)) {
      return absl::OkStatus();
    }
  }
  return absl::DeadlineExceededError(absl::StrCat("process ", child.pid, " does not end"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShimClient>> ShimClient::Connect(const std::string& run_dir, absl::Duration timeout) {
  UniqueFd directory(::open(run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!directory.valid() || !fd.valid()) {
    return absl::UnavailableError(absl::StrCat("no shim answers in ", run_dir));
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock", directory.get());
  timeval bound{};
  bound.tv_sec = absl::ToInt64Seconds(timeout);
  bound.tv_usec = static_cast<suseconds_t>(absl::ToInt64Microseconds(timeout % absl::Seconds(1)));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return absl::UnavailableError(absl::StrCat("no shim answers in ", run_dir));
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      (peer.uid != ::geteuid() && ::geteuid() != 0)) {
    return absl::PermissionDeniedError(absl::StrCat("the control socket in ", run_dir, " is another user's"));
  }
  return std::unique_ptr<ShimClient>(new Client(std::move(fd), run_dir));
}

absl::Status StopAndWait(const std::string& run_dir, const std::vector<StopStep>& ladder) {
  ShimState state = ReadShimState(run_dir);
  absl::Duration total = absl::Seconds(10);
  for (const StopStep& step : ladder) {
    total += step.wait;
  }
  absl::Time deadline = absl::Now() + total;
  if (state.shim_alive) {
    absl::StatusOr<std::unique_ptr<ShimClient>> client = ShimClient::Connect(run_dir);
    if (client.ok() && (*client)->Stop(ladder).ok()) {
      absl::StatusOr<ExitRecord> exit = (*client)->WaitExit(deadline);
      if (absl::IsDeadlineExceeded(exit.status())) {
        return WithContext(exit.status(), run_dir);
      }
    }
    if (!WaitGone(*state.shim, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat("the shim in ", run_dir, " does not end"));
    }
    state = ReadShimState(run_dir);
  }
  absl::Status status = state.child_alive ? StopDirectly(*state.child, ladder) : absl::OkStatus();
  EndLeftovers(run_dir, state);
  return status;
}

}  // namespace mg::shim
