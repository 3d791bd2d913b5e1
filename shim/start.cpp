#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/cgroup/cgroup.h"
#include "common/shim_record/runs.h"
#include "shim/shim.h"
#include "shim/tree.h"

namespace mg::shim {
namespace {

std::string Failure(int error, const std::string& what) {
  return "error " + std::to_string(error) + " " + what + ": " + std::strerror(error) + "\n";
}

}  // namespace

/// The launcher holds the lock since before it wrote the launch file, so that no other can come between; its
/// descriptor is ours now. Started by hand, the shim takes the lock itself.
std::string Shim::TakeLock() {
  std::string path = run_dir_ + "/launch.lock";
  struct stat given {
  }, file{};
  if (::fstat(kLockFd, &given) == 0 && ::stat(path.c_str(), &file) == 0 && given.st_ino == file.st_ino &&
      given.st_dev == file.st_dev) {
    ::fcntl(kLockFd, F_SETFD, FD_CLOEXEC);
    lock_.Reset(kLockFd);
  } else {
    lock_.Reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  if (lock_.valid() && ::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) {
    return "";
  }
  return lock_.valid() && errno == EWOULDBLOCK ? "error " + std::to_string(EEXIST) + " it runs already\n"
                                               : Failure(errno, "lock " + path);
}

std::string Shim::TakeSignals() {
  // A shim ends with its component, and by nothing that a terminal or a session's end sends to all.
  for (int signal : {SIGPIPE, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU}) {
    ::signal(signal, SIG_IGN);
  }
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT}) {
    sigaddset(&set, signal);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  return signals_.valid() ? "" : Failure(errno, "signalfd");
}

/// Which processes the component and its shim are.
int Shim::WriteIdentity() {
  Record identity;
  identity.Add("generation", generation_);
  identity.Add("boot_id", BootIdOfThisBoot());
  identity.Add("shim_pid", ::getpid());
  identity.Add("shim_start", static_cast<std::int64_t>(StartTicks(::getpid())));
  identity.Add("child_pid", child_.pid);
  identity.Add("child_start", static_cast<std::int64_t>(StartTicks(child_.pid)));
  identity.Add("started_ns", started_ns_);
  if (!group_.empty()) {
    identity.Add("cgroup", group_);
  }
  return WriteRecord(run_dir_ + "/identity", identity, /*sync=*/false);
}

std::string Shim::StartUp() {
  if (std::string failure = TakeLock(); !failure.empty()) {
    return failure;
  }
  auto [launch, problem] = ReadRecord(run_dir_ + "/launch");
  if (!problem.empty()) {
    return "error " + std::to_string(EINVAL) + " the launch file: " + problem + "\n";
  }
  launch_ = launch;
  generation_ = launch_.GetInt("generation");
  Command ladder;
  default_ladder_ = ParseCommand("stop " + launch_.Get("stop"), &ladder) ? ladder.steps : std::vector<Step>{{}};
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, ("shim " + launch_.Get("name")).c_str());
  if (std::string failure = TakeSignals(); !failure.empty()) {
    return failure;
  }
  log_ =
      new logs::CriWriter(launch_.Get("log_dir"), static_cast<std::uint64_t>(launch_.GetInt("log_max_bytes", 16 << 20)),
                          static_cast<int>(launch_.GetInt("log_max_files", 8)));
  // A log directory that cannot be written now may be later; the component matters more.
  (void)log_->Open();
  pump_.SetLog(log_);
  ::unlink((run_dir_ + "/identity").c_str());
  ::unlink((run_dir_ + "/exit").c_str());
  if (int error = control_.Listen(run_dir_, generation_); error != 0) {
    return Failure(error, "listen on " + run_dir_ + "/control.sock");
  }
  if (std::string base = cgroup::FindBase(); !base.empty()) {
    // A shim that a component launched outlives it, so it is no part of that one's group.
    group_ = cgroup::InComponent() && !cgroup::Enter(base) ? "" : cgroup::Make(base, run_dir_);
  }
  int error = 0;
  started_ns_ = NowNanoseconds();
  started_monotonic_ = MonotonicNanoseconds();
  if (std::string failure = StartChild(launch_, run_dir_, group_, &child_, &error); !failure.empty()) {
    (void)cgroup::KillAndRemove(group_, 0);
    return "error " + std::to_string(error) + " " + failure + "\n";
  }
  // A log directory that cannot be written now: then this run cannot be told from the one before, and that is all.
  (void)NoteRun(launch_.Get("log_dir"), started_ns_);
  if (int failed = WriteIdentity(); failed != 0) {
    // Nobody could find it again: it must not run.
    KillTree();
    return Failure(failed, "write " + run_dir_ + "/identity");
  }
  return "";
}

}  // namespace mg::shim
