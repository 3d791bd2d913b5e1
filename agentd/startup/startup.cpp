#include "agentd/startup/startup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/process/process_id.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::startup {
namespace {

constexpr absl::Duration kRelease = absl::Seconds(2);

/// flock(2) has no bound: an alarm interrupts it, again and again, so that none is lost that comes just before the
/// call.
absl::Status LockUntil(int fd, const std::string& path, absl::Time deadline) {
  struct sigaction interrupt = {}, before = {};
  interrupt.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &interrupt, &before);
  absl::Duration left = std::max(deadline - absl::Now(), absl::Milliseconds(1));
  itimerval timer = {.it_interval = absl::ToTimeval(absl::Milliseconds(200)), .it_value = absl::ToTimeval(left)};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
  int result = 0;
  do {
    result = ::flock(fd, LOCK_EX);
  } while (result != 0 && errno == EINTR && absl::Now() < deadline);
  int error = errno;
  itimerval off = {};
  ::setitimer(ITIMER_REAL, &off, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  if (result == 0) {
    return absl::OkStatus();
  }
  if (error == EINTR) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "another agent has been starting for too long",
                     {.reason = "AGENT_START_TIMEOUT", .hint = "multigres agent logs shows what it does"});
  }
  return ErrnoStatus(error, absl::StrCat("lock ", path));
}

/// Waits until the holder of a lock file, named by its content, has ended.
void WaitForHolder(const std::string& path, absl::Time deadline) {
  absl::StatusOr<std::string> content = ReadFile(path);
  pid_t pid = 0;
  if (!content.ok() || !absl::SimpleAtoi(*content, &pid) || pid <= 0) {
    return;
  }
  absl::StatusOr<ProcessId> process = IdentifyProcess(pid);
  absl::StatusOr<UniqueFd> holder = process.ok() ? OpenPidfd(*process) : process.status();
  if (!holder.ok()) {
    return;
  }
  pollfd wait = {.fd = holder->get(), .events = POLLIN};
  absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
  ::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(left)));
}

/// Waits until nobody holds a lock file any more. A killed agent's threads, and a child that it had begun to make, end
/// a moment after the agent itself has gone, and hold its lock until then.
void WaitForRelease(const std::string& path, absl::Time deadline) {
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (lock.valid()) {
    absl::Time now = absl::Now();
    // Whether it was released is seen by who then takes it.
    (void)LockUntil(lock.get(), path, std::max(std::min(deadline, now + kRelease), now + absl::Milliseconds(10)));
  }
}

}  // namespace

void ReadyPipe::Say(const absl::Status& status) {
  if (!fd_.valid()) {
    return;
  }
  std::string word = absl::StrCat("S", rpc::EncodeStatus(status));
  // A pipe takes this much at once; and whoever is no longer there needs no word.
  [[maybe_unused]] ssize_t written = ::write(fd_.get(), word.data(), word.size());
  fd_.Reset();
}

absl::StatusOr<AgentLocks> AgentLocks::Acquire(const std::string& home, const std::string& socket,
                                               absl::Time deadline) {
  std::string starting_path = JoinPath(home, "agent.starting");
  UniqueFd starting(::open(starting_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!starting.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open lock ", starting_path));
  }
  MG_RETURN_IF_ERROR(LockUntil(starting.get(), starting_path, deadline));
  std::string path = JoinPath(home, kLockName);
  absl::StatusOr<FileLock> life = FileLock::TryAcquire(path);
  for (bool waited = false; !life.ok() && absl::IsUnavailable(life.status()); waited = true) {
    if (!socket.empty() && rpc::ConnectPrivate(socket).ok()) {
      return MakeError(
          absl::StatusCode::kAlreadyExists,
          absl::StrCat("an agent serves this state directory already: ", std::string(life.status().message())),
          {.reason = "AGENT_RUNS_ALREADY", .hint = "multigres agent status shows it"});
    }
    if (waited) {
      return MakeError(
          absl::StatusCode::kDeadlineExceeded,
          absl::StrCat("another agent holds the lock but does not answer: ", std::string(life.status().message())),
          {.reason = "AGENT_STUCK",
           .hint = absl::StrCat("end the process that ", path,
                                " names; or it listens elsewhere: see MULTIGRES_AGENT_SOCKET")});
    }
    WaitForHolder(path, deadline);
    WaitForRelease(path, deadline);
    life = FileLock::TryAcquire(path);
  }
  if (!life.ok()) {
    return life.status();
  }
  return AgentLocks(std::move(starting), *std::move(life));
}

}  // namespace mg::startup
