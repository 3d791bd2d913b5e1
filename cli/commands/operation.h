/// Runs one operation of the agent: shows its progress, turns Ctrl-C into its cancellation, and gives its result.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/commands/context.h"
#include "cli/commands/stream_watcher.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

/// How an operation's stream is opened.
using OperationReader = std::function<bool(const multigres::agent::v1::OperationEvent&)>;
using OpenOperation = std::function<absl::Status(AgentClient&, const OperationReader&)>;

/// Whether the operation's own steps are shown: also as plain lines where there is no terminal.
enum class Steps { kAlways, kOnTerminal };

/// Runs it to its end. The result has everything but `status` and `conninfo`. CANCELLED after Ctrl-C; a failed
/// operation is its error, with the component's last lines and the hint.
absl::StatusOr<multigres::cli::v1::OperationOutput> RunOperation(Context& context, absl::Time deadline,
                                                                 const OpenOperation& open,
                                                                 Steps steps = Steps::kAlways);

/// Bound of an operation as the agent keeps it.
multigres::provisioner::v1::OperationOptions OptionsUntil(absl::Time deadline);

/// After a successful start: fills `status` and `conninfo`.
absl::Status AddStatus(Context& context, multigres::cli::v1::OperationOutput* output);

}  // namespace mg::cli
