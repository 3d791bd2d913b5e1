#include "cli/client/start_agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

/// The agent's end of the pipe, in the agent.
constexpr int kReadyFd = 3;

class SpawnSettings {
 public:
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) {
    pointers.push_back(string.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

/// `--detach` makes the spawned process fork at once, so that the agent is no child of ours and leaves no zombie.
absl::Status Spawn(const AgentOptions& options, const std::string& program, const AgentPlace& place, int ready_fd) {
  SpawnSettings settings;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all);
  ::posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawn_file_actions_adddup2(&settings.actions, ready_fd, kReadyFd);
  ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  // An agent is needed most when something is wrong: a log that cannot be made, on a full disk, does not keep it away.
  const UniqueFd log(::open(place.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ::posix_spawn_file_actions_addopen(&settings.actions, STDOUT_FILENO,
                                     log.valid() ? place.log_file.c_str() : "/dev/null", O_WRONLY | O_APPEND, 0);
  ::posix_spawn_file_actions_adddup2(&settings.actions, STDOUT_FILENO, STDERR_FILENO);
  ::posix_spawn_file_actions_addclosefrom_np(&settings.actions, kReadyFd + 1);

  std::vector<std::string> arguments = {program, "--detach", absl::StrCat("--ready-fd=", kReadyFd)};
  std::vector<std::string> environment;
  for (const auto& [name, value] : options.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, program.c_str(), &settings.actions, &settings.attributes, Pointers(arguments).data(),
                            Pointers(environment).data());
  if (error != 0) {
    return WithContext(ErrnoStatus(error, program), "cannot start the agent");
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return absl::OkStatus();
}

/// The last lines of the agent's log, for an agent that ended without a word.
std::vector<std::string> LastLogLines(const std::string& path) {
  constexpr size_t kLines = 10;
  absl::StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) {
    return {};
  }
  std::vector<std::string> lines = absl::StrSplit(*content, '\n', absl::SkipEmpty());
  lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(std::min(lines.size(), kLines)));
  return lines;
}

}  // namespace

absl::Status StartAgent(const AgentOptions& options, const AgentPlace& place, absl::Time deadline) {
  std::string program = options.program;
  if (program.empty()) {
    MG_ASSIGN_OR_RETURN(std::string directory, ExecutableDirectory());
    program = JoinPath(directory, "multigres-agent");
  }
  // Others may pass through root's state directory, for PostgreSQL runs as somebody else there.
  absl::Status made = MakeDirectories(place.home, ::geteuid() == 0 ? 0711 : 0700);
  if (!made.ok()) {
    return MakeError(
        made.code(), absl::StrCat("cannot make the state directory: ", std::string(made.message())),
        {.reason = "HOME_NOT_WRITABLE", .hint = "set MULTIGRES_HOME to a directory that you may write to"});
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "pipe");
  }
  UniqueFd reader(ends[0]), writer(ends[1]);
  MG_RETURN_IF_ERROR(Spawn(options, program, place, writer.get()));
  writer.Reset();

  std::string word;
  for (;;) {
    pollfd wait = {.fd = reader.get(), .events = POLLIN};
    timespec left = absl::ToTimespec(std::max(deadline - absl::Now(), absl::ZeroDuration()));
    int ready = ::ppoll(&wait, 1, &left, nullptr);
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (ready == 0) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "the agent was started and does not answer",
                       {.reason = "AGENT_START_TIMEOUT",
                        .hint = absl::StrCat("see ", place.log_file),
                        .log_tail = LastLogLines(place.log_file)});
    }
    char buffer[4096];
    ssize_t n = ready < 0 ? -1 : ::read(reader.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return ErrnoStatus(errno, "read the agent's word");
    }
    if (n == 0) {
      break;
    }
    word.append(buffer, static_cast<size_t>(n));
  }
  // The word is one byte, then a status; a process that died said nothing.
  if (word.empty()) {
    return MakeError(absl::StatusCode::kInternal, "the agent ended while it started",
                     {.reason = "AGENT_START_FAILED",
                      .hint = absl::StrCat("see ", place.log_file),
                      .log_tail = LastLogLines(place.log_file)});
  }
  return WithContext(rpc::DecodeStatus(word.substr(1)), "cannot start the agent");
}

}  // namespace mg::cli
