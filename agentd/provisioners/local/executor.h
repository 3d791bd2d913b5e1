/// Carries out a graph of steps: whatever may run at once does, each on its own thread; news of each goes to the
/// operation. The first failure calls the others off: a wait ends early, and nothing that already runs is undone.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/provisioners/contract.h"

namespace mg::local {

/// Tells the steps of one run to end early. Any thread.
class Halt {
 public:
  void Set();
  bool is_set() const;
  /// Waits until `until` or Set; true when set.
  bool WaitUntil(absl::Time until) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool set_ = false;
};

/// How a step ended well.
struct StepOutcome {
  bool skipped = false;  ///< nothing had to be done
  std::string detail;    ///< what to show beside it
};

struct Step {
  std::string id;
  std::string group;
  std::vector<std::string> after;  ///< ids that are not among the steps are taken as done
  std::function<absl::StatusOr<StepOutcome>(const Halt&)> run;
  bool silent = false;  ///< told only when it fails
};

/// True: every step was skipped. CANCELLED when the operation was called off, DEADLINE_EXCEEDED with the names of what
/// was under way, else the first failure. `on_halt` wakes waits that do not look at Halt.
absl::StatusOr<bool> Execute(std::vector<Step> steps, provisioners::OperationContext& context,
                             const std::function<void()>& on_halt = nullptr);

}  // namespace mg::local
