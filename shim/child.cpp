#include "shim/child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

namespace mg::shim {
namespace {

std::string ReadSmall(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[2048];
  ssize_t n = fd.valid() ? ::read(fd.get(), buffer, sizeof buffer) : -1;
  return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
}

std::vector<char*> Pointers(std::vector<std::string>* words) {
  std::vector<char*> result;
  for (std::string& word : *words) {
    result.push_back(word.data());
  }
  result.push_back(nullptr);
  return result;
}

/// What failed in the child, sent through a pipe that exec closes.
struct ExecError {
  int error_number;
  char step[28];
};

ssize_t ReadReport(int fd, ExecError* error) {
  ssize_t n = 0;
  while ((n = ::read(fd, error, sizeof *error)) < 0 && errno == EINTR) {
  }
  return n;
}

[[noreturn]] void Fail(int fd, const char* step) {
  ExecError error{};
  error.error_number = errno;
  std::strncpy(error.step, step, sizeof error.step - 1);
  (void)!::write(fd, &error, sizeof error);
  ::_exit(127);
}

/// As the launcher gave it, with our marks instead of those that it may have itself: it may be a component, too.
std::vector<std::string> Environment(const Record& launch, const std::string& run_dir) {
  std::vector<std::string> result;
  for (std::string& entry : launch.GetAll("env")) {
    if (!entry.starts_with("MULTIGRES_COMPONENT=") && !entry.starts_with(kRunDirVariable)) {
      result.push_back(std::move(entry));
    }
  }
  result.push_back("MULTIGRES_COMPONENT=" + launch.Get("name"));
  result.push_back(kRunDirVariable + run_dir);
  return result;
}

std::int64_t Nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

void CloseAllFrom(unsigned first, unsigned keep) {
  if (first < keep) {
    ::syscall(SYS_close_range, first, keep - 1, 0);
  }
  ::syscall(SYS_close_range, keep + 1, ~0u, 0);
}

/// A fork into the group: to move there later would wait for a grace period of the kernel, some 20 ms.
pid_t Fork(const std::string& group) {
  if (!group.empty()) {
    UniqueFd directory(::open(group.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    clone_args arguments{};
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<std::uint64_t>(directory.get());
    long pid = directory.valid() ? ::syscall(SYS_clone3, &arguments, sizeof arguments) : -1;
    if (pid >= 0) {
      return static_cast<pid_t>(pid);
    }
  }
  return ::fork();
}

}  // namespace

std::int64_t NowNanoseconds() { return Nanoseconds(CLOCK_REALTIME); }
std::int64_t MonotonicNanoseconds() { return Nanoseconds(CLOCK_MONOTONIC); }

std::string BootIdOfThisBoot() {
  std::string text = ReadSmall("/proc/sys/kernel/random/boot_id");
  return text.substr(0, text.find('\n'));
}

std::string StartChild(const Record& launch, const std::string& run_dir, const std::string& group, Child* child,
                       int* error_number) {
  *error_number = 0;
  std::vector<std::string> argv = launch.GetAll("argv");
  std::vector<std::string> environment = Environment(launch, run_dir);
  std::vector<char*> argv_pointers = Pointers(&argv);
  std::vector<char*> environment_pointers = Pointers(&environment);
  std::vector<gid_t> groups;
  for (const std::string& number : launch.GetAll("group")) {
    groups.push_back(static_cast<gid_t>(std::strtoul(number.c_str(), nullptr, 10)));
  }
  std::int64_t uid = launch.GetInt("uid", -1);
  auto gid = static_cast<gid_t>(launch.GetInt("gid", -1));
  std::string directory = launch.Get("cwd", "/");

  int out[2], err[2], report[2];
  if (argv.empty() || ::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0 || ::pipe2(report, O_CLOEXEC) != 0) {
    *error_number = argv.empty() ? EINVAL : errno;
    return argv.empty() ? "the launch file has no command" : std::string("pipe: ") + std::strerror(errno);
  }
  pid_t shim = ::getpid();
  pid_t pid = Fork(group);
  if (pid == 0) {
    ::setpgid(0, 0);
    for (int signal = 1; signal < NSIG; ++signal) {
      ::signal(signal, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    int null = ::open("/dev/null", O_RDONLY);
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(out[1], 1) < 0 || ::dup2(err[1], 2) < 0) {
      Fail(report[1], "redirect");
    }
    if (uid >= 0) {
      // Its own output may be opened again by name (/dev/stderr), which asks for the pipe's owner.
      (void)!::fchown(1, static_cast<uid_t>(uid), gid);
      (void)!::fchown(2, static_cast<uid_t>(uid), gid);
      if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(gid) != 0 ||
          ::setuid(static_cast<uid_t>(uid)) != 0) {
        Fail(report[1], "change the user");
      }
    }
    // After the change of user, which clears it. A component never outlives its shim: nobody would know of its end.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != shim) {
      ::_exit(127);
    }
    if (::chdir(directory.c_str()) != 0) {
      Fail(report[1], "enter the directory");
    }
    CloseAllFrom(3, static_cast<unsigned>(report[1]));
    ExecError none_so_far{};
    (void)!::write(report[1], &none_so_far, sizeof none_so_far);
    ::execve(argv_pointers[0], argv_pointers.data(), environment_pointers.data());
    Fail(report[1], "execute");
  }
  int fork_error = errno;
  ::close(out[1]);
  ::close(err[1]);
  ::close(report[1]);
  child->out.Reset(out[0]);
  child->err.Reset(err[0]);
  UniqueFd report_fd(report[0]);
  if (pid < 0) {
    *error_number = fork_error;
    return std::string("fork: ") + std::strerror(fork_error);
  }
  ExecError error{};
  ssize_t n = ReadReport(report_fd.get(), &error);
  if (n == 0 && !group.empty()) {
    // Killed before it came to exec: the kernel took an old kill of the group for one of this process.
    (void)::waitpid(pid, nullptr, 0);
    return StartChild(launch, run_dir, "", child, error_number);
  }
  if (n > 0 && error.error_number == 0) {
    n = ReadReport(report_fd.get(), &error);
  }
  if (n == sizeof error) {
    *error_number = error.error_number;
    return std::string(error.step) + " " + argv[0] + ": " + std::strerror(error.error_number);
  }
  child->pid = pid;
  ::fcntl(child->out.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(child->err.get(), F_SETFL, O_NONBLOCK);
  return "";
}

}  // namespace mg::shim
