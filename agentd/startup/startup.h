/// How one agent comes to be the only one of its state directory. Whoever wants an agent just starts one; the agents
/// sort it out among themselves:
///
///   1. take <home>/agent.starting (waits: somebody else is in between 1 and 4)
///   2. take <home>/agent.lock; held, and its socket answers: that one serves, so say "ready" and end
///   3. held, and the socket does not answer: it is ending, so wait for its end and take the lock
///   4. serve, say "ready", release agent.starting; agent.lock is held for life
///
/// "Ready" goes to the pipe that the starter gave; nobody polls. Used by main's thread only.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fs/fs.h"

namespace mg::startup {

/// The lock file that an agent holds for life, in its state directory.
inline constexpr char kLockName[] = "agent.lock";

/// The pipe to whoever started this agent. What it says is one byte, then rpc::EncodeStatus.
class ReadyPipe {
 public:
  explicit ReadyPipe(int fd) : fd_(fd) {}  ///< takes it; -1: nobody waits
  bool valid() const { return fd_.valid(); }
  /// Says how the start went and closes. Only the first word counts.
  void Say(const absl::Status& status);

 private:
  UniqueFd fd_;
};

/// The locks of an agent that may serve.
class AgentLocks {
 public:
  /// ALREADY_EXISTS when another agent serves this state directory; DEADLINE_EXCEEDED when another holds the lock but
  /// does not answer. An empty `socket`: this process has it already, so nobody else can answer there, and one that
  /// still holds the lock is waited for.
  static absl::StatusOr<AgentLocks> Acquire(const std::string& home, const std::string& socket, absl::Time deadline);
  /// This agent serves: others that start may look now.
  void StartIsOver() { starting_.Reset(); }

 private:
  AgentLocks(UniqueFd starting, FileLock life) : starting_(std::move(starting)), life_(std::move(life)) {}
  UniqueFd starting_;
  FileLock life_;
};

}  // namespace mg::startup
