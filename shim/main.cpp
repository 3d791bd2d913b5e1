/// multigres-shim RUN_DIR: runs what <run dir>/launch says, keeps its output, records how it ended, and ends with it.
/// Descriptor 3 is the launcher's pipe: one line says how the start went. See common/shim_protocol/shim.h for the
/// files.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "common/cri/cri_writer.h"
#include "common/shim_record/record.h"
#include "shim/child.h"
#include "shim/control.h"
#include "shim/pump.h"

namespace mg::shim {
namespace {

constexpr int kReadyFd = 3;
constexpr std::int64_t kMs = 1000000;
constexpr std::int64_t kStrayTermGrace = 300 * kMs;
constexpr std::int64_t kDrainBound = 1000 * kMs;

std::int64_t Monotonic() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

void Report(const std::string& line) {
  (void)!::write(kReadyFd, line.data(), line.size());
  ::close(kReadyFd);
}

/// Parent of a process, from /proc; 0: gone, or a shim itself. What another shim holds (PostgreSQL, which pgctld
/// launches) is no part of this component's tree: it must outlive it.
pid_t ParentOf(pid_t pid) {
  char path[64], text[512];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  ssize_t n = fd.valid() ? ::read(fd.get(), text, sizeof text - 1) : -1;
  if (n <= 0) {
    return 0;
  }
  text[n] = '\0';
  const char* end = std::strrchr(text, ')');
  const char* name = std::strchr(text, '(');
  if (name != nullptr && (std::strncmp(name, "(shim ", 6) == 0 || std::strncmp(name, "(multigres-shim)", 16) == 0)) {
    return 0;
  }
  int parent = 0;
  char state = 0;
  return end != nullptr && std::sscanf(end + 1, " %c %d", &state, &parent) == 2 && state != 'Z' ? parent : 0;
}

/// Every live descendant of this process: it is their subreaper, so that none leaves the tree.
std::vector<pid_t> Descendants() {
  std::vector<std::pair<pid_t, pid_t>> all;
  DIR* proc = ::opendir("/proc");
  while (dirent* entry = proc != nullptr ? ::readdir(proc) : nullptr) {
    pid_t pid = static_cast<pid_t>(std::atoi(entry->d_name));
    if (pid > 0) {
      if (pid_t parent = ParentOf(pid); parent > 0) {
        all.emplace_back(pid, parent);
      }
    }
  }
  if (proc != nullptr) {
    ::closedir(proc);
  }
  std::vector<pid_t> tree = {::getpid()};
  for (size_t i = 0; i < tree.size(); ++i) {
    for (const auto& [pid, parent] : all) {
      if (parent == tree[i]) {
        tree.push_back(pid);
      }
    }
  }
  tree.erase(tree.begin());
  return tree;
}

void SignalTree(int signal) {
  for (pid_t pid : Descendants()) {
    ::kill(pid, signal);
  }
}

class Shim {
 public:
  int Run(const std::string& run_dir);

 private:
  int StartUp(const std::string& run_dir);
  void Loop();
  void Turn();
  void Reap();
  void Take(const Command& command);
  void NextStep();
  void Tell();
  int PollTimeout() const;
  bool Done() const;

  std::string run_dir_;
  Record launch_;
  logs::CriWriter* log_ = nullptr;
  Control control_;
  Child child_;
  UniqueFd lock_, signals_;
  bool child_ended_ = false, told_ = false;
  int exit_code_ = 0, exit_signal_ = 0;
  std::int64_t started_ns_ = 0, ended_ns_ = 0;
  std::vector<Step> ladder_;
  std::int64_t step_deadline_ = 0;   ///< monotonic; 0: no ladder under way
  std::int64_t stray_deadline_ = 0;  ///< when strays get SIGKILL; 0: not yet told
  std::int64_t drain_deadline_ = 0;
};

int Shim::StartUp(const std::string& run_dir) {
  run_dir_ = run_dir;
  lock_.Reset(::open((run_dir + "/launch.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid() || ::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    Report("error " + std::to_string(errno == EWOULDBLOCK ? EEXIST : errno) + " it runs already\n");
    return 1;
  }
  auto [launch, problem] = ReadRecord(run_dir + "/launch");
  if (!problem.empty()) {
    Report("error " + std::to_string(EINVAL) + " the launch file: " + problem + "\n");
    return 1;
  }
  launch_ = launch;
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::string name = "shim " + launch_.Get("name");
  ::prctl(PR_SET_NAME, name.c_str());
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT}) {
    sigaddset(&set, signal);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  log_ =
      new logs::CriWriter(launch_.Get("log_dir"), static_cast<std::uint64_t>(launch_.GetInt("log_max_bytes", 16 << 20)),
                          static_cast<int>(launch_.GetInt("log_max_files", 8)));
  // A log directory that cannot be written now may be later; the component matters more.
  (void)log_->Open();
  ::unlink((run_dir + "/identity").c_str());
  ::unlink((run_dir + "/exit").c_str());
  if (int error = control_.Listen(run_dir, launch_.GetInt("generation")); error != 0) {
    Report("error " + std::to_string(error) + " listen on " + run_dir + "/control.sock: " + std::strerror(error) +
           "\n");
    return 1;
  }
  int error = 0;
  started_ns_ = NowNanoseconds();
  if (std::string failure = StartChild(launch_, &child_, &error); !failure.empty()) {
    Report("error " + std::to_string(error) + " " + failure + "\n");
    return 1;
  }
  Record identity;
  identity.Add("generation", launch_.GetInt("generation"));
  identity.Add("boot_id", BootIdOfThisBoot());
  identity.Add("shim_pid", ::getpid());
  identity.Add("shim_start", static_cast<std::int64_t>(StartTicks(::getpid())));
  identity.Add("child_pid", child_.pid);
  identity.Add("child_start", static_cast<std::int64_t>(StartTicks(child_.pid)));
  identity.Add("started_ns", started_ns_);
  if (int failed = WriteRecord(run_dir + "/identity", identity, /*sync=*/false); failed != 0) {
    // Nobody could find it again: it must not run.
    ::kill(child_.pid, SIGKILL);
    Report("error " + std::to_string(failed) + " write " + run_dir + "/identity: " + std::strerror(failed) + "\n");
    return 1;
  }
  Report("ok\n");
  // The launcher need not wait for the disk: the record matters to whoever reads it while this process lives.
  (void)SyncRecord(run_dir + "/identity");
  return 0;
}

void Shim::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == child_.pid) {
      child_ended_ = true;
      ended_ns_ = NowNanoseconds();
      exit_signal_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
      ladder_.clear();
      step_deadline_ = 0;
      drain_deadline_ = Monotonic() + kDrainBound;
    }
  }
}

void Shim::NextStep() {
  step_deadline_ = 0;
  if (child_ended_) {
    return;
  }
  if (ladder_.empty()) {
    SignalTree(SIGKILL);
    return;
  }
  Step step = ladder_.front();
  ladder_.erase(ladder_.begin());
  if (step.tree) {
    SignalTree(step.signal);
  } else {
    ::kill(child_.pid, step.signal);
  }
  step_deadline_ = Monotonic() + step.wait_ms * kMs;
}

void Shim::Take(const Command& command) {
  switch (command.kind) {
    case Command::Kind::kRotate:
      log_->Rotate();
      break;
    case Command::Kind::kSignal:
      if (command.steps[0].tree) {
        SignalTree(command.steps[0].signal);
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

/// File first, then the message: who hears of the end finds it on disk.
void Shim::Tell() {
  Record record;
  record.Add("generation", launch_.GetInt("generation"));
  record.Add("exit_code", exit_code_);
  record.Add("signal", exit_signal_);
  record.Add("started_ns", started_ns_);
  record.Add("ended_ns", ended_ns_);
  (void)WriteRecord(run_dir_ + "/exit", record, /*sync=*/true);
  char line[160];
  std::snprintf(line, sizeof line, "exited %d %d %lld %lld %lld\n", exit_code_, exit_signal_,
                static_cast<long long>(started_ns_), static_cast<long long>(ended_ns_),
                static_cast<long long>(launch_.GetInt("generation")));
  control_.Broadcast(line);
  told_ = true;
}

int Shim::PollTimeout() const {
  std::int64_t next = 0;
  for (std::int64_t deadline : {step_deadline_, stray_deadline_, drain_deadline_}) {
    if (deadline != 0 && (next == 0 || deadline < next)) {
      next = deadline;
    }
  }
  if (log_->stalled()) {
    std::int64_t retry = Monotonic() + 500 * kMs;
    next = next == 0 ? retry : std::min(next, retry);
  }
  if (next == 0) {
    return -1;
  }
  return static_cast<int>(std::max<std::int64_t>(0, (next - Monotonic() + kMs - 1) / kMs));
}

bool Shim::Done() const { return child_ended_ && told_ && !child_.out.valid() && !child_.err.valid(); }

void Shim::Turn() {
  std::vector<pollfd> fds = {{signals_.get(), POLLIN, 0},
                             {control_.listen_fd(), POLLIN, 0},
                             {child_.out.get(), POLLIN, 0},
                             {child_.err.get(), POLLIN, 0}};
  for (const Control::Client& client : control_.clients()) {
    fds.push_back({client.fd.get(), POLLIN, 0});
  }
  if (::poll(fds.data(), fds.size(), PollTimeout()) < 0 && errno != EINTR) {
    return;
  }
  if (fds[2].revents != 0 && !Pump(child_.out, logs::CriWriter::Stream::kStdout, log_)) {
    child_.out.Reset();
  }
  if (fds[3].revents != 0 && !Pump(child_.err, logs::CriWriter::Stream::kStderr, log_)) {
    child_.err.Reset();
  }
  if (fds[0].revents != 0) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD && step_deadline_ == 0) {
        ladder_ = {{SIGTERM, 5000, false}};
        NextStep();
      }
    }
    Reap();
  }
  std::vector<Command> commands;
  auto& clients = control_.clients();
  for (size_t i = fds.size(); i-- > 4;) {
    if (fds[i].revents != 0 && !control_.Receive(&clients[i - 4], &commands)) {
      clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i - 4));
    }
  }
  if (fds[1].revents != 0) {
    control_.Accept();
  }
  for (const Command& command : commands) {
    Take(command);
  }
}

void Shim::Loop() {
  while (!Done()) {
    Turn();
    std::int64_t now = Monotonic();
    if (step_deadline_ != 0 && now >= step_deadline_) {
      NextStep();
    }
    if (log_->stalled()) {
      log_->Retry();
    }
    if (!child_ended_) {
      continue;
    }
    std::vector<pid_t> strays = Descendants();
    if (!strays.empty() && stray_deadline_ == 0) {
      stray_deadline_ = now + kStrayTermGrace;
      SignalTree(SIGTERM);
    } else if (!strays.empty() && now >= stray_deadline_) {
      stray_deadline_ = now + kStrayTermGrace;
      SignalTree(SIGKILL);
    }
    if (strays.empty()) {
      stray_deadline_ = 0;
      // Nobody writes any more: what is in the pipes now is the rest.
      while (child_.out.valid() && Pump(child_.out, logs::CriWriter::Stream::kStdout, log_)) {
        pollfd more = {child_.out.get(), POLLIN, 0};
        if (::poll(&more, 1, 0) == 0) {
          break;
        }
      }
      if (now >= drain_deadline_) {
        child_.out.Reset();
        child_.err.Reset();
      }
      if (!told_ && ((!child_.out.valid() && !child_.err.valid()) || now >= drain_deadline_)) {
        Tell();
      }
    }
  }
}

int Shim::Run(const std::string& run_dir) {
  if (int failed = StartUp(run_dir); failed != 0) {
    return failed;
  }
  Loop();
  delete log_;
  return 0;
}

}  // namespace
}  // namespace mg::shim

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] != '/') {
    std::fprintf(stderr, "usage: multigres-shim RUN_DIR (it is started by multigres-agent)\n");
    return 2;
  }
  static mg::shim::Shim shim;
  return shim.Run(argv[1]);
}
