/// What a running command has: its arguments, where output goes, the agent. Made in main; used by one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/args/command.h"
#include "cli/output/terminal.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace google::protobuf {
class Message;
}

namespace mg::cli {

class AgentClient;

class Context {
 public:
  Context(const std::vector<Command>& all_commands, Arguments arguments,
          std::map<std::string, std::string> environment);
  ~Context();

  const Arguments& args() const { return arguments_; }
  const std::vector<Command>& commands() const { return commands_; }
  const std::map<std::string, std::string>& environment() const { return environment_; }
  Format format() const { return format_; }
  const Terminal& terminal() const { return terminal_; }
  std::string Env(const std::string& name) const;

  /// The cluster that the flags, the environment and the current directory choose.
  multigres::provisioner::v1::ClusterSelector Selector() const;
  /// From --timeout, else `fallback` (infinite: none). INVALID_ARGUMENT for what is no duration.
  absl::StatusOr<absl::Time> Deadline(absl::Duration fallback) const;

  /// The agent. With `start` it is started when none runs; without, UNAVAILABLE with the reason AGENT_NOT_RUNNING.
  /// One of another version is served as far as both speak a protocol, with a warning on stderr; `any` takes it in any
  /// case.
  absl::StatusOr<AgentClient*> Agent(bool start, bool any = false);

  /// Closes the connection: the next Agent makes another one.
  void LeaveAgent();

  /// Prints the answer in the chosen format: the message as JSON or YAML, or what `text` gives. Returns 0.
  int Emit(const google::protobuf::Message& message, const std::function<std::string()>& text) const;
  void Out(const std::string& text) const;
  void Err(const std::string& text) const;
  /// Prints the error on stderr and returns its exit status.
  int Fail(const absl::Status& status) const;

  /// Asks on the terminal; true for yes. Without a terminal, or with another output format than text,
  /// FAILED_PRECONDITION-like: the caller must have --yes.
  absl::StatusOr<bool> Confirm(const std::string& question) const;

 private:
  const std::vector<Command>& commands_;
  Arguments arguments_;
  std::map<std::string, std::string> environment_;
  Format format_ = Format::kText;
  Terminal terminal_;
  std::unique_ptr<AgentClient> agent_;
};

}  // namespace mg::cli
