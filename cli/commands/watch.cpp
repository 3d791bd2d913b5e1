// --watch for commands that show something that changes by itself.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/render.h"
#include "cli/output/screen.h"
#include "cli/output/write_pieces.h"
#include "common/fs/unique_fd.h"
#include "common/status/exit_code.h"

namespace mg::cli {
namespace {

void Append(const Context& context, const std::string& answer) {
  switch (context.format()) {
    case Format::kJson:
      context.Out(OnOneLine(answer));
      break;
    case Format::kYaml:
      context.Out(absl::StrCat("---\n", answer));
      break;
    case Format::kText:
      context.Out(absl::StrCat(answer, "\n"));
      break;
  }
}

/// The terminal's other screen: what is drawn there again and again never comes into the scrollback, and does not wrap
/// anew when the terminal becomes narrower. What was shown last is left on the usual one. Signals that end or stop the
/// program give the terminal back first, on a thread of its own: a question that is waiting for its answer holds
/// nothing up. Make it before anybody is dialled: the threads of that must not see the signals.
class WatchScreen {
 public:
  WatchScreen() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    sigemptyset(&watched_);
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) {
      sigaddset(&watched_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &watched_, nullptr);
    signals_.Reset(::signalfd(-1, &watched_, SFD_CLOEXEC));
    thread_ = std::thread([this] { Run(); });
  }

  ~WatchScreen() {
    Raise(stop_);
    thread_.join();
    absl::MutexLock lock(&mutex_);
    Leave();
    pthread_sigmask(SIG_UNBLOCK, &watched_, nullptr);
  }

  WatchScreen(const WatchScreen&) = delete;
  WatchScreen& operator=(const WatchScreen&) = delete;

  /// `answer` is what the screen is of, whole. False where the terminal is gone.
  bool Draw(const std::string& screen, std::string answer) {
    absl::MutexLock lock(&mutex_);
    last_ = std::move(answer);
    const char* enter = std::exchange(entered_, true) ? "" : kEnter;
    return WritePieces(STDOUT_FILENO, {enter, "\x1b[H\x1b[J", screen}) == 0;
  }

  /// A second, or until the terminal was resized or is back. True: it has to be drawn again.
  bool Wait() {
    pollfd wake = {wake_.get(), POLLIN, 0};
    ::poll(&wake, 1, 1000);
    std::uint64_t count = 0;
    return ::read(wake_.get(), &count, sizeof count) > 0;
  }

 private:
  // With the cursor kept, the other screen cleared.
  static constexpr const char* kEnter = "\x1b[?1049h";
  static constexpr const char* kLeave = "\x1b[?1049l";

  static void Raise(const UniqueFd& event) {
    std::uint64_t one = 1;
    (void)!::write(event.get(), &one, sizeof one);
  }

  void Leave() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(entered_, false)) {
      (void)WritePieces(STDOUT_FILENO, {kLeave, last_});
    }
  }

  void Run() {
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    for (;;) {
      ::poll(fds, 2, -1);
      if ((fds[0].revents & POLLIN) != 0) {
        return;
      }
      signalfd_siginfo info{};
      if (::read(signals_.get(), &info, sizeof info) != sizeof info) {
        continue;
      }
      const int signal = static_cast<int>(info.ssi_signo);
      if (signal != SIGWINCH) {
        absl::MutexLock lock(&mutex_);
        Leave();
        if (signal == SIGTSTP) {
          ::raise(SIGSTOP);
        } else {
          // As it would have ended without us.
          pthread_sigmask(SIG_UNBLOCK, &watched_, nullptr);
          ::raise(signal);
        }
      }
      Raise(wake_);
    }
  }

  sigset_t watched_{};
  UniqueFd wake_, stop_, signals_;
  absl::Mutex mutex_;
  bool entered_ ABSL_GUARDED_BY(mutex_) = false;
  std::string last_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

/// What is wrong from the beginning ends it; later troubles are told, and it is asked again. That a cluster is not well
/// is an answer like any other.
bool Ends(int status, const std::string& answer) {
  return status != kExitOk && (status != kExitUnhealthy || answer.empty());
}

int WatchOnScreen(Context& context, absl::Time end, const std::function<int(Context&)>& run) {
  // What is redirected stays where the user sent it.
  const bool collects = context.terminal().err_is_tty;
  WatchScreen screen;
  std::string answer, drawn;
  for (bool first = true, again = true;; first = false) {
    std::string now, troubles;
    context.Measure();
    context.Redirect(&now, collects ? &troubles : nullptr);
    int status = run(context);
    context.Redirect(nullptr);
    if (first && Ends(status, now)) {
      context.Err(troubles);
      return status;
    }
    answer = now.empty() ? answer : now;
    std::string shown = FitScreen(answer, troubles, context.terminal());
    if ((again || shown != drawn) && !screen.Draw(shown, answer)) {
      return kExitFailed;
    }
    drawn = std::move(shown);
    if (absl::Now() + absl::Seconds(1) > end) {
      return kExitOk;
    }
    again = screen.Wait();
  }
}

int Watch(Context& context, const std::function<int(Context&)>& run) {
  absl::StatusOr<absl::Time> end = context.Deadline(absl::InfiniteDuration());
  if (!end.ok()) {
    return context.Fail(end.status());
  }
  if (context.format() == Format::kText && context.terminal().out_is_tty && context.Env("TERM") != "dumb") {
    return WatchOnScreen(context, *end, run);
  }
  std::string shown;
  for (bool first = true;; first = false) {
    std::string answer;
    context.Redirect(&answer);
    int status = run(context);
    context.Redirect(nullptr);
    if (first && Ends(status, answer)) {
      return status;
    }
    if (!answer.empty() && (first || answer != shown)) {
      shown = answer;
      Append(context, answer);
    }
    if (absl::Now() + absl::Seconds(1) > *end) {
      return kExitOk;
    }
    timespec second = {1, 0};
    ::nanosleep(&second, nullptr);
  }
}

}  // namespace

std::vector<Command> WithWatch(std::vector<Command> commands) {
  const std::set<std::string> changing = {"status",       "gateway list",  "gateway queries",    "gateway consolidator",
                                          "pooler list",  "pooler status", "pooler replication", "orch list",
                                          "orch status",  "shard list",    "shard get",          "backup list",
                                          "topology tree"};
  for (Command& command : commands) {
    if (!changing.contains(command.path)) {
      continue;
    }
    command.flags.push_back(
        {.name = "watch", .letter = 'w', .help = "show it again whenever it changed; asked every second"});
    command.run = [run = command.run](Context& context) {
      return context.args().Has("watch") ? Watch(context, run) : run(context);
    };
  }
  return commands;
}

}  // namespace mg::cli
