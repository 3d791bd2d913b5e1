/// What a running command has: its arguments, where output goes, the agent. Made in main; used by one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/args/command.h"
#include "cli/output/terminal.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace mg::cli {

class AgentClient;

/// The way to the Admin API of the chosen cluster: through the agent, or straight to a remote one.
struct AdminRoute {
  std::shared_ptr<grpc::Channel> channel;
  std::function<void(grpc::ClientContext*)> prepare;  ///< adds what each call needs: the cluster's name, the token
  std::function<absl::Status(const grpc::Status&)> outcome;  ///< of a call: what gRPC says of the way, in words
};

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

  /// The way to the Admin API; any thread may call on it. `start`: start the agent when it is needed and none runs.
  absl::StatusOr<AdminRoute> Admin(bool start = true);

  /// Where the Admin API is when it is dialled directly: a context's name or --admin-server's address; empty: the agent
  /// forwards. NOT_FOUND for a context that was never added.
  absl::StatusOr<std::string> Remote() const;

  /// For what a shell asks while a person types: from now on nothing starts an agent, and what this object asks by
  /// itself is to be answered by `until`.
  void OnlyAsk(absl::Time until) { only_ask_until_ = until; }

  /// The database that is meant where none is named: the first one of a cluster of this machine; elsewhere the only
  /// one, or `postgres` among several. Asked once; `postgres` too where nobody answers, which what follows then tells.
  const std::string& DefaultDatabase();

  /// Closes the connection: the next Agent makes another one.
  void LeaveAgent();

  /// Prints the answer in the chosen format: the message as JSON or YAML, or what `text` gives. Returns 0.
  int Emit(const google::protobuf::Message& message, const std::function<std::string()>& text) const;
  /// To stdout, at once. What cannot be written is noted (OutputStatus).
  void Out(const std::string& text) const { Out(std::vector<absl::string_view>{text}); }
  void Out(const std::vector<absl::string_view>& pieces) const;
  /// The first failure to write to stdout.
  absl::Status OutputStatus() const;
  /// From now on Out appends to `sink` instead of stdout, and Err to `error_sink` instead of stderr; nullptr: no
  /// longer.
  void Redirect(std::string* sink, std::string* error_sink = nullptr);
  /// Looks again how large the terminal is.
  void Measure();
  void Err(const std::string& text) const;
  /// What an answer lacks: on stderr before the answer, once however often it is said. Where an error comes instead of
  /// an answer it stands alone, so that its JSON is JSON.
  void Warn(const std::string& text) const { warnings_.emplace(text, false); }
  /// Prints the error on stderr, with components as people call them, and returns its exit status.
  int Fail(const absl::Status& status);

  /// Asks on the terminal, and names the remote context or the cluster of this machine; true for yes. Without a
  /// terminal, or with another output format than text, INVALID_ARGUMENT: the caller must have --yes.
  absl::StatusOr<bool> Confirm(const std::string& question) const;
  /// Asks only where the command goes to another machine: what interrupts clients there is not to be a slip. OK: go on.
  absl::Status ConfirmRemote(const std::string& question) const;

 private:
  absl::Status Explained(const absl::Status& status) const;

  const std::vector<Command>& commands_;
  Arguments arguments_;
  std::map<std::string, std::string> environment_;
  Format format_ = Format::kText;
  Terminal terminal_;
  std::unique_ptr<AgentClient> agent_;
  AdminRoute remote_;
  absl::Time only_ask_until_ = absl::InfiniteFuture();
  std::string default_database_;  ///< empty: not asked yet
  std::string* sink_ = nullptr;
  std::string* error_sink_ = nullptr;
  mutable int output_error_ = 0;
  mutable std::map<std::string, bool> warnings_;  ///< true: said
  mutable bool declined_ = false;                 ///< the user answered no
};

}  // namespace mg::cli
