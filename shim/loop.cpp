#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "common/cgroup/cgroup.h"
#include "shim/shim.h"
#include "shim/tree.h"

namespace mg::shim {
namespace {

using Stream = logs::CriWriter::Stream;

constexpr std::int64_t kMs = 1000000;
constexpr std::int64_t kStrayTermGrace = 300 * kMs;
constexpr std::int64_t kDrainBound = 1000 * kMs;
constexpr std::int64_t kTellBound = 2000 * kMs;
constexpr std::int64_t kLeaveBound = 10000 * kMs;
constexpr int kGroupBound = 200;  // ms; nobody is left in it by then
constexpr std::int64_t kLogRetry = 500 * kMs;
constexpr std::int64_t kTidyAfter = 1000 * kMs;

/// True once, when the time has come.
bool Due(std::int64_t* deadline, std::int64_t now) {
  if (*deadline == 0 || now < *deadline) {
    return false;
  }
  *deadline = 0;
  return true;
}

void Report(const std::string& line) {
  (void)!::write(kReadyFd, line.data(), line.size());
  ::close(kReadyFd);
}

}  // namespace

int Shim::Run() {
  if (std::string failure = StartUp(); !failure.empty()) {
    Report(failure);
    return 1;
  }
  Report("ok\n");
  // The launcher need not wait for the disk: the record matters to whoever reads it while this process lives.
  (void)SyncRecord(run_dir_ + "/identity");
  ReserveRecord(run_dir_ + "/exit");
  while (!Done()) {
    Turn();
    if (Due(&step_deadline_, MonotonicNanoseconds())) {
      NextStep();
    }
    if (log_->stalled()) {
      log_->Retry();
    }
    if (pump_.used() && tidy_deadline_ == 0) {
      tidy_deadline_ = MonotonicNanoseconds() + kTidyAfter;
    } else if (Due(&tidy_deadline_, MonotonicNanoseconds())) {
      pump_.Tidy();
    }
    if (child_ended_) {
      WindUp();
    }
  }
  (void)cgroup::KillAndRemove(group_, kGroupBound);
  delete log_;
  return 0;
}

void Shim::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != child_.pid || child_ended_) {
      continue;  // a stray that was reparented to us
    }
    child_ended_ = true;
    ended_ns_ = NowNanoseconds();
    exit_signal_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    ladder_.clear();
    step_deadline_ = 0;
    std::int64_t now = MonotonicNanoseconds();
    ran_ns_ = now - started_monotonic_;
    drain_deadline_ = now + kDrainBound;
    tell_deadline_ = now + kTellBound;
    leave_deadline_ = now + kLeaveBound;
  }
}

void Shim::SignalAll(int signal) { signal == SIGKILL ? KillTree() : SignalTree(signal); }

void Shim::KillTree() {
  cgroup::Kill(group_);
  SignalTree(SIGKILL);
}

void Shim::NextStep() {
  step_deadline_ = 0;
  if (child_ended_) {
    return;
  }
  if (ladder_.empty()) {
    KillTree();
    return;
  }
  Step step = ladder_.front();
  ladder_.erase(ladder_.begin());
  // Not yet waited for, so that the number is the child's still. SIGCONT: one that is stopped hears nothing.
  if (step.tree) {
    SignalAll(step.signal);
    SignalTree(SIGCONT);
  } else {
    ::kill(child_.pid, step.signal);
    ::kill(child_.pid, SIGCONT);
  }
  step_deadline_ = MonotonicNanoseconds() + step.wait_ms * kMs;
}

void Shim::Take(const Command& command) {
  switch (command.kind) {
    case Command::Kind::kRotate:
      log_->Rotate();
      break;
    case Command::Kind::kSignal:
      if (command.steps[0].tree) {
        SignalAll(command.steps[0].signal);
      } else if (!child_ended_) {
        ::kill(child_.pid, command.steps[0].signal);
      }
      break;
    case Command::Kind::kStop:
      ladder_ = command.steps;
      NextStep();
      break;
  }
}

void Shim::WindUp() {
  std::int64_t now = MonotonicNanoseconds();
  tree_gone_ = Descendants().empty() || Due(&leave_deadline_, now);
  if (tree_gone_) {
    stray_deadline_ = 0;
    if (Due(&drain_deadline_, now)) {
      child_.out.Reset();
      child_.err.Reset();
    }
  } else {
    if (stray_deadline_ == 0 || now >= stray_deadline_) {
      SignalAll(stray_deadline_ == 0 ? SIGTERM : SIGKILL);
      stray_deadline_ = now + kStrayTermGrace;
    }
    drain_deadline_ = now + kDrainBound;  // counts from when nobody is left
  }
  if (!told_ && ((tree_gone_ && PipesEnded()) || Due(&tell_deadline_, now))) {
    Tell();
  }
}

/// File first, then the message: who hears of the end finds it on disk.
void Shim::Tell() {
  Record record;
  record.Add("generation", generation_);
  record.Add("exit_code", exit_code_);
  record.Add("signal", exit_signal_);
  record.Add("started_ns", started_ns_);
  record.Add("ended_ns", ended_ns_);
  record.Add("ran_ns", ran_ns_);
  (void)WriteRecord(run_dir_ + "/exit", record, /*sync=*/true);
  char line[160];
  std::snprintf(line, sizeof line, "exited %d %d %lld %lld %lld\n", exit_code_, exit_signal_,
                static_cast<long long>(started_ns_), static_cast<long long>(ended_ns_),
                static_cast<long long>(generation_));
  control_.Broadcast(line);
  told_ = true;
}

int Shim::PollTimeout() const {
  std::int64_t now = MonotonicNanoseconds();
  std::int64_t next = log_->stalled() ? now + kLogRetry : 0;
  for (std::int64_t deadline :
       {step_deadline_, stray_deadline_, drain_deadline_, tell_deadline_, leave_deadline_, tidy_deadline_}) {
    if (deadline != 0 && (next == 0 || deadline < next)) {
      next = deadline;
    }
  }
  if (next == 0) {
    return -1;
  }
  return static_cast<int>(std::max<std::int64_t>(0, (next - now + kMs - 1) / kMs));
}

void Shim::ReadSignals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    // A storm of them is one wish.
    if (info.ssi_signo != SIGCHLD && step_deadline_ == 0) {
      ladder_ = default_ladder_;
      NextStep();
    }
  }
}

void Shim::Turn() {
  auto& clients = control_.clients();
  std::vector<pollfd> fds = {{signals_.get(), POLLIN, 0},
                             {control_.listen_fd(), POLLIN, 0},
                             {child_.out.get(), POLLIN, 0},
                             {child_.err.get(), POLLIN, 0}};
  for (const Control::Client& client : clients) {
    fds.push_back({client.fd.get(), POLLIN, 0});
  }
  if (::poll(fds.data(), fds.size(), PollTimeout()) < 0) {
    return;
  }
  if (fds[2].revents != 0 && !pump_.Read(child_.out, Stream::kStdout)) {
    child_.out.Reset();
  }
  if (fds[3].revents != 0 && !pump_.Read(child_.err, Stream::kStderr)) {
    child_.err.Reset();
  }
  if (fds[0].revents != 0) {
    ReadSignals();
    Reap();
  }
  std::vector<Command> commands;
  for (size_t i = fds.size(); i-- > 4;) {
    if (fds[i].revents != 0 && !control_.Receive(&clients[i - 4], &commands)) {
      clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i - 4));
    }
  }
  if (fds[1].revents != 0) {
    // Whoever cannot read the identity comes here for it.
    if (!ReadRecord(run_dir_ + "/identity").second.empty()) {
      (void)WriteIdentity();
    }
    control_.Accept();
  }
  for (const Command& command : commands) {
    Take(command);
  }
}

}  // namespace mg::shim
