/// One operation on a cluster: its news as a feed that any number of readers follow from the beginning, its
/// cancellation and its result. Any thread; shared, because readers outlive the registry's interest in it.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "agentd/events/feed.h"
#include "agentd/provisioners/contract.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::operations {

namespace v1 = multigres::provisioner::v1;

class Operation {
 public:
  using Event = multigres::agent::v1::OperationEvent;

  /// What an operation is, fixed at its beginning.
  struct Identity {
    std::string id;
    std::string kind;     ///< up, down, restart, start, stop, or the Provisioner API's own (bootstrap …)
    std::string cluster;  ///< the cluster's name
    std::string key;      ///< what it excludes others from: the cluster's directory
    std::string subject;  ///< the component, or `clean` for a down with its data
    absl::Time start;
  };

  explicit Operation(Identity identity);

  const Identity& identity() const { return identity_; }
  provisioners::CancelToken& cancel() { return cancel_; }
  events::Feed<Event>& feed() { return feed_; }

  /// Calls it off; `why` becomes part of the failure. The first reason stays.
  void Cancel(const std::string& why);

  void AddStep(const v1::StepProgress& step);
  void AddMessage(const std::string& message);
  void AddFault(const v1::FaultReport& report);
  /// Ends it: the result is the last news. True: nothing had to be done.
  void End(const absl::StatusOr<bool>& outcome);

  std::optional<v1::OperationResult> result() const;
  multigres::agent::v1::Operation Summary() const;

 private:
  template <typename Fill>
  void Append(Fill fill);

  const Identity identity_;
  provisioners::CancelToken cancel_;
  events::Feed<Event> feed_;
  mutable std::mutex mutex_;
  std::string cancel_reason_;
  std::optional<v1::OperationResult> result_;
};

/// An error as the wire shows it within a result; invalid UTF-8 is replaced.
v1::Failure FailureOf(const absl::Status& status);

}  // namespace mg::operations
