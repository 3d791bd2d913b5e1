#include "cli/commands/stream_watcher.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/time/clock.h"
#include "common/status/exit_code.h"

namespace mg::cli {
namespace {

sigset_t InterruptSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

void HoldSignals() {
  sigset_t set = InterruptSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

absl::StatusOr<bool> ConfirmWithSignals(const Context& context, const std::string& question) {
  sigset_t set = InterruptSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  absl::StatusOr<bool> yes = context.Confirm(question);
  HoldSignals();
  return yes;
}

StreamWatcher::StreamWatcher(Context& context, ProgressView& view, absl::Time stuck_at, Hooks hooks)
    : view_(view),
      stuck_at_(stuck_at),
      period_(context.terminal().err_is_tty ? 100 : -1),
      hooks_(std::move(hooks)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  sigset_t set = InterruptSignals();
  signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC));
  thread_ = std::thread([this] { Run(); });
}

StreamWatcher::~StreamWatcher() {
  std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void StreamWatcher::Run() {
  pollfd fds[] = {{stop_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  for (;;) {
    ::poll(fds, 2, Period());
    if ((fds[0].revents & POLLIN) != 0) {
      return;
    }
    if ((fds[1].revents & POLLIN) != 0) {
      signalfd_siginfo info{};
      (void)!::read(signals_.get(), &info, sizeof info);
      if (interrupted_.exchange(true)) {
        // The second one means it: the server is told already, and ends it without us.
        ::_exit(kExitInterrupted);
      }
      hooks_.interrupted();
    }
    if (absl::Now() > stuck_at_ && !timed_out_.exchange(true)) {
      hooks_.stuck();
    }
    view_.Tick();
  }
}

int StreamWatcher::Period() const {
  if (timed_out_) {
    return period_;
  }
  absl::Duration left = std::min(stuck_at_ - absl::Now(), absl::Hours(1));
  int millis = static_cast<int>(std::max<std::int64_t>(absl::ToInt64Milliseconds(left) + 1, 1));
  return period_ < 0 ? millis : std::min(period_, millis);
}

}  // namespace mg::cli
