#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/shim_protocol/internal.h"
#include "common/shim_protocol/shim.h"
#include "common/shim_record/record.h"
#include "common/status/status.h"

namespace mg::shim {
namespace {

/// How long a component may take to end after its shim was killed; the kernel kills it then.
constexpr absl::Duration kDying = absl::Seconds(1);

/// The user's ids as numbers: the shim is static and cannot ask the name service.
absl::Status AddUser(const std::string& user, Record* record) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no user named ", user),
                     {.reason = "NO_SUCH_USER"});
  }
  record->Add("uid", entry.pw_uid);
  record->Add("gid", entry.pw_gid);
  std::vector<gid_t> groups(256);
  int count = static_cast<int>(groups.size());
  if (::getgrouplist(user.c_str(), entry.pw_gid, groups.data(), &count) < 0) {
    return absl::InternalError(absl::StrCat("user ", user, " is in too many groups"));
  }
  for (int i = 0; i < count; ++i) {
    record->Add("group", groups[static_cast<size_t>(i)]);
  }
  return absl::OkStatus();
}

absl::Status WriteLaunch(const LaunchSpec& spec) {
  Record record;
  record.Add("name", spec.name);
  record.Add("generation", spec.generation);
  record.Add("log_dir", spec.log_dir);
  record.Add("log_max_bytes", static_cast<std::int64_t>(spec.log_max_bytes));
  record.Add("log_max_files", spec.log_max_files);
  record.Add("cwd", spec.working_directory.empty() ? "/" : spec.working_directory);
  for (const std::string& word : spec.argv) {
    record.Add("argv", word);
  }
  for (const std::string& entry : spec.environment) {
    record.Add("env", entry);
  }
  std::string stop;
  for (const StopStep& step : spec.stop) {
    absl::StrAppend(&stop, stop.empty() ? "" : " ", FormatStep(step));
  }
  record.Add("stop", stop);
  if (!spec.run_as.empty()) {
    record.Add("run_as", spec.run_as);
    MG_RETURN_IF_ERROR(AddUser(spec.run_as, &record));
  }
  if (int error = WriteRecord(JoinPath(spec.run_dir, "launch"), record, /*sync=*/true); error != 0) {
    return ErrnoStatus(error, absl::StrCat("write ", spec.run_dir, "/launch"));
  }
  return absl::OkStatus();
}

/// The same open file under a number that no dup2 for the shim takes.
int MovedUp(UniqueFd fd) { return ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10); }

/// Spawns the shim in a session of its own, with nothing but the ready pipe as descriptor 3 and the lock as 4.
absl::StatusOr<pid_t> SpawnShim(const std::string& shim_path, const std::string& run_dir, int ready_fd, int lock_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  // The caller moved both up: neither is overwritten by the other, nor kept close-on-exec by a dup2 onto itself.
  posix_spawn_file_actions_adddup2(&actions, ready_fd, 3);
  posix_spawn_file_actions_adddup2(&actions, lock_fd, 4);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, 5);
  posix_spawn_file_actions_addchdir_np(&actions, "/");
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string path = shim_path, directory = run_dir;
  char* argv[] = {path.data(), directory.data(), nullptr};
  char* environment[] = {nullptr};
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, shim_path.c_str(), &actions, &attributes, argv, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return MakeError(error == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kInternal,
                     absl::StrCat("run ", shim_path, ": ", std::strerror(error)),
                     {.reason = "SHIM_MISSING", .hint = "the installation is incomplete; build or install it again"});
  }
  return pid;
}

/// One line from the shim, or what it managed to say before it ended.
std::string ReadReady(int fd, absl::Time deadline, bool* timed_out) {
  std::string text;
  *timed_out = false;
  for (;;) {
    pollfd wait = {fd, POLLIN, 0};
    int ready = ::poll(&wait, 1, MillisecondsUntil(deadline));
    if (ready == 0) {
      *timed_out = true;
      return text;
    }
    char buffer[512];
    ssize_t n = ready > 0 ? ::read(fd, buffer, sizeof buffer) : -1;
    if (n > 0) {
      text.append(buffer, static_cast<size_t>(n));
      if (text.back() == '\n') {
        return text;
      }
    } else if (n == 0 || errno != EINTR) {
      return text;
    }
  }
}

absl::Status StartFailure(const LaunchSpec& spec, const std::string& line) {
  if (!absl::StartsWith(line, "error ")) {
    return absl::InternalError(absl::StrCat(spec.name, ": the shim ended before the component ran"));
  }
  std::vector<std::string> parts = absl::StrSplit(absl::StripAsciiWhitespace(line.substr(6)), absl::MaxSplits(' ', 1));
  int number = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &number)) {
    return absl::InternalError(absl::StrCat(spec.name, ": ", line));
  }
  absl::StatusCode code = ErrnoStatus(number, "").code();
  return MakeError(code, absl::StrCat(spec.name, " could not be started: ", parts[1]),
                   {.reason = number == EEXIST ? "ALREADY_RUNS" : "EXEC_FAILED", .subject = spec.name});
}

absl::Status AlreadyRuns(const LaunchSpec& spec) {
  return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat(spec.name, " runs already"),
                   {.reason = "ALREADY_RUNS", .subject = spec.name});
}

/// Held from before the launch file is written; the shim inherits it. So of two launchers one is refused, and the
/// files are those of what runs.
absl::StatusOr<UniqueFd> TakeLock(const LaunchSpec& spec) {
  std::string path = JoinPath(spec.run_dir, "launch.lock");
  UniqueFd opened(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!opened.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
  UniqueFd fd(MovedUp(std::move(opened)));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) {
      return errno == EWOULDBLOCK ? AlreadyRuns(spec) : ErrnoStatus(errno, absl::StrCat("lock ", path));
    }
  }
  return fd;
}

}  // namespace

absl::StatusOr<ShimState> Launch(const std::string& shim_path, const LaunchSpec& spec, absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  ShimState before = ReadShimState(spec.run_dir);
  if (before.child_alive && !before.shim_alive && WaitGone(*before.child, std::min(deadline, absl::Now() + kDying))) {
    before = ReadShimState(spec.run_dir);
  }
  if (before.child_alive) {
    return AlreadyRuns(spec);
  }
  if (before.shim_alive && !WaitGone(*before.shim, deadline)) {
    // Its component has ended, and it sees to the rest of the tree.
    return absl::DeadlineExceededError(absl::StrCat(spec.name, ": what ran before has not ended yet"));
  }
  MG_ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(spec));
  EndLeftovers(spec.run_dir, before);
  MG_RETURN_IF_ERROR(WriteLaunch(spec));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "pipe");
  }
  UniqueFd read_end(ends[0]), write_end(MovedUp(UniqueFd(ends[1])));
  MG_ASSIGN_OR_RETURN(pid_t pid, SpawnShim(shim_path, spec.run_dir, write_end.get(), lock.get()));
  write_end.Reset();
  lock.Reset();
  bool timed_out = false;
  std::string line = ReadReady(read_end.get(), deadline, &timed_out);
  if (timed_out) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return absl::DeadlineExceededError(
        absl::StrCat(spec.name, " did not start within ", absl::FormatDuration(timeout)));
  }
  if (line != "ok\n") {
    ::waitpid(pid, nullptr, 0);
    return StartFailure(spec, line);
  }
  return ReadShimState(spec.run_dir);
}

}  // namespace mg::shim
