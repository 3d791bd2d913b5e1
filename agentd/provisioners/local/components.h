/// Starting single components of a model and waiting until they are ready: the steps that a bring-up is made of.
/// Blocking; one object per operation, used by its step threads at once.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/executor.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/provisioners/local/watchman.h"
#include "agentd/supervisor/supervisor.h"

namespace mg::local {

class Components {
 public:
  Components(const Model& model, supervisor::Supervisor* supervisor, Watchman* watchman, ComponentRpc* rpc)
      : model_(model), supervisor_(supervisor), watchman_(watchman), rpc_(rpc) {}

  /// Starts it, unless it runs, and waits until it is ready. One that runs and does not become ready is restarted
  /// once. `limit` bounds the wait. Skipped: it was ready already.
  absl::StatusOr<StepOutcome> Ensure(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt);
  /// Waits for a PostgreSQL that its pooler starts; starts it itself when there is data that only has to be served.
  absl::StatusOr<StepOutcome> EnsurePostgres(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt);

  /// The error for a component that Ensure made ready and that has ended since; OK when there is none. What is waited
  /// for will not come without it.
  absl::Status CheckAlive() const;

  supervisor::Watched WhoIs(const std::string& component) const;
  /// The error with the component, its last lines and what to do next.
  absl::Status Blame(const std::string& component, absl::StatusCode code, const std::string& message) const;

 private:
  absl::StatusOr<StepOutcome> MakeReady(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt);
  absl::Status Launch(const v1::ComponentSpec& spec);
  absl::Status WaitReady(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt);
  std::vector<std::string> LastLinesOf(const std::string& component) const;

  const Model& model_;
  supervisor::Supervisor* const supervisor_;
  Watchman* const watchman_;
  ComponentRpc* const rpc_;
  mutable std::mutex mutex_;
  std::set<std::string> ready_;  ///< that Ensure made ready
};

/// What the shim of a component is told; without a generation.
absl::StatusOr<shim::LaunchSpec> LaunchSpecOf(const Model& model, const v1::ComponentSpec& spec);

}  // namespace mg::local
