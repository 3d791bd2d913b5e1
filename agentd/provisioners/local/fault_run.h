/// Has a fault held by the helper program multigres-chaos, from the record on disk to the report. The helper undoes the
/// fault by itself when this process dies; when the helper dies, it is undone here. Blocking; any thread.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/provisioners/contract.h"
#include "agentd/supervisor/supervisor.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

/// Notes when the supervisor first noticed something of components that a fault hit. Any thread.
class FaultNotice {
 public:
  struct First {
    absl::Time when;
    std::string what;
  };
  /// One fault of a cluster at a time.
  void Expect(const std::string& cluster, std::set<std::string> components);
  void See(const supervisor::News& news);
  /// What was seen since Expect, or is within `wait`; nothing is expected any more.
  std::optional<First> Take(const std::string& cluster, absl::Duration wait);

 private:
  struct Expected {
    std::set<std::string> components;
    std::optional<First> first;
  };
  std::mutex mutex_;
  std::condition_variable seen_;
  std::map<std::string, Expected> expected_;  ///< by cluster
};

/// Writes the record, holds the fault to its end or to the operation's cancellation, undoes it, and gives the helper's
/// report. FAILED_PRECONDITION when the fault could not be made, with nothing left of it.
absl::StatusOr<provisioners::v1::FaultReport> RunFault(const std::string& program, const std::string& record_file,
                                                       const multigres::state::v1::FaultRecord& record,
                                                       provisioners::OperationContext& context);

/// Adds what the helper cannot know: whom the fault hit, and the supervisor's notice where it came first.
void CompleteReport(const multigres::state::v1::FaultRecord& record, const std::optional<FaultNotice::First>& noticed,
                    provisioners::v1::FaultReport* report);

/// Undoes what a record says, if there is one: after the death of the agent and its helper.
absl::Status UndoFault(const std::string& program, const std::string& record_file);

}  // namespace mg::local
