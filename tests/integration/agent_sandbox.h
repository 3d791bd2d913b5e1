/// A place of its own for tests of the agent's process: state directory, socket directory, and an agent's program.
/// At its end no agent of it is left. One thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/client/agent_client.h"

namespace mg::tests {

class AgentSandbox {
 public:
  /// `program` is one of the build's tests/.
  explicit AgentSandbox(const std::string& program = "multigres-agent-fake");
  ~AgentSandbox();
  AgentSandbox(const AgentSandbox&) = delete;
  AgentSandbox& operator=(const AgentSandbox&) = delete;

  const std::string& directory() const { return directory_; }
  std::string home() const { return directory_ + "/home"; }
  std::string socket_directory() const { return directory_ + "/run"; }
  std::string socket() const { return socket_directory() + "/agent.sock"; }
  std::string discovery() const { return socket_directory() + "/agent.json"; }
  std::string program() const { return program_; }

  /// For agents that are started from now on.
  std::map<std::string, std::string>& environment() { return environment_; }
  cli::AgentOptions Options(bool start = true) const;
  absl::StatusOr<std::unique_ptr<cli::AgentClient>> Connect(bool start = true) const;
  /// The pid of the agent that answers; 0: none.
  pid_t AgentPid() const;

 private:
  std::string directory_, program_;
  std::map<std::string, std::string> environment_;
};

/// Waits until the process is gone; false after `limit`.
bool WaitForEnd(pid_t pid, absl::Duration limit = absl::Seconds(20));

}  // namespace mg::tests
