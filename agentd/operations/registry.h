/// The operations of this agent: at most one per cluster at a time, each on a thread of its own.
///
///   under way        request          what happens
///   --------------   --------------   -----------------------------------------------------
///   up, restart      up               joins it
///   the same again   the same         joins it
///   down             down             joins it; but a clean one runs after one without
///   anything else    down             cancels it and runs as soon as that has ended
///   anything         anything else    refused: ABORTED, reason CLUSTER_BUSY
///
/// A request that names the operation under way as its parent runs beside it. A request with an idempotency key that is
/// known joins that operation, even when it has ended. Ended operations are kept up to a bound. Any thread; nothing
/// here waits for an operation but the destructor, which cancels what runs.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/operations/operation.h"

namespace mg::operations {

class Registry {
 public:
  static constexpr size_t kKeptEnded = 32;
  static constexpr absl::Duration kDefaultTimeout = absl::Seconds(120);

  using Body = std::function<absl::StatusOr<bool>(provisioners::OperationContext&)>;
  struct Request {
    std::string kind;
    std::string cluster;
    std::string key;
    std::string subject;
    v1::OperationOptions options;
    Body body;  ///< true: nothing had to be done
  };
  /// Called on the operation's thread at its beginning and after its end.
  using Observer = std::function<void(const Operation&)>;

  explicit Registry(Observer observer);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// The operation that does what the request asks: a new one, or the one that is joined.
  absl::StatusOr<std::shared_ptr<Operation>> Begin(Request request);
  absl::StatusOr<std::shared_ptr<Operation>> Find(const std::string& id) const;
  absl::Status Cancel(const std::string& id);
  /// Newest first; an empty key: of all clusters.
  std::vector<std::shared_ptr<Operation>> List(const std::string& key) const;
  /// The newest operation under way on a cluster; null: none.
  std::shared_ptr<Operation> UnderWay(const std::string& key) const;
  /// Cancels what runs and refuses what comes.
  void Stop();

 private:
  struct Entry {
    std::shared_ptr<Operation> operation;
    std::string idempotency_key;
    bool nested = false;  ///< beside its parent: excludes nobody
    std::thread thread;
  };
  /// The operation to join, or null and (maybe) one whose end must be waited for.
  absl::StatusOr<std::shared_ptr<Operation>> ChooseLocked(const Request& request, bool* nested,
                                                          std::shared_ptr<Operation>* predecessor);
  std::shared_ptr<Operation> UnderWayLocked(const std::string& key) const;
  void ForgetOldLocked(std::vector<std::thread>* ended);
  void Run(std::shared_ptr<Operation> operation, std::shared_ptr<Operation> predecessor, Request request);

  const Observer observer_;
  mutable std::mutex mutex_;
  bool stopped_ = false;
  std::deque<Entry> entries_;  ///< oldest first
};

}  // namespace mg::operations
