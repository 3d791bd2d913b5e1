#include "tests/integration/agent_sandbox.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"

namespace mg::tests {

AgentSandbox::AgentSandbox(const std::string& program) {
  char name[] = "/tmp/mg-agent-XXXXXX";
  directory_ = ::mkdtemp(name);
  ::mkdir(socket_directory().c_str(), 0700);
  program_ = std::string(std::getenv("MULTIGRES_BUILD_DIR")) + "/tests/" + program;
  environment_ = {{"MULTIGRES_HOME", home()}, {"MULTIGRES_AGENT_SOCKET", socket()}, {"PATH", "/usr/bin:/bin"}};
}

AgentSandbox::~AgentSandbox() {
  if (auto client = Connect(/*start=*/false); client.ok()) {
    auto stopped = (*client)->Call(cli::agent::ShutdownRequest(), absl::Now() + absl::Seconds(10));
    if (stopped.ok()) {
      WaitForEnd(stopped->pid());
    }
  }
  // One that does not answer: its lock has its pid.
  absl::StatusOr<std::string> holder = ReadFile(home() + "/agent.lock");
  pid_t pid = 0;
  absl::StatusOr<FileLock> lock = FileLock::TryAcquire(home() + "/agent.lock");
  if (!lock.ok() && holder.ok() && absl::SimpleAtoi(*holder, &pid) && pid > 0) {
    ::kill(pid, SIGKILL);
    WaitForEnd(pid);
  }
  (void)RemoveTree(directory_);
}

cli::AgentOptions AgentSandbox::Options(bool start) const {
  return {.environment = environment_, .start = start, .program = program_};
}

absl::StatusOr<std::unique_ptr<cli::AgentClient>> AgentSandbox::Connect(bool start) const {
  return cli::AgentClient::Connect(Options(start));
}

pid_t AgentSandbox::AgentPid() const {
  auto client = Connect(/*start=*/false);
  if (!client.ok()) {
    return 0;
  }
  auto info = (*client)->Call(cli::agent::GetInfoRequest(), absl::Now() + absl::Seconds(10));
  return info.ok() ? info->pid() : 0;
}

bool WaitForEnd(pid_t pid, absl::Duration limit) {
  // Not by /proc: the first thread of a killed process is a zombie while others still hold its descriptors.
  UniqueFd holder(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!holder.valid()) {
    return errno == ESRCH;
  }
  pollfd wait = {.fd = holder.get(), .events = POLLIN};
  return ::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) == 1;
}

}  // namespace mg::tests
