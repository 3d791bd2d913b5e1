/// What this pooler may serve to gateways at this moment: decided by the manager (consensus and recovery state), obeyed
/// by the pool. Not a health report: PostgreSQL may still fail under it. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg::multipooler {

enum class ServingMode {
  kNone,       ///< not serving: no PostgreSQL, starting, being demoted or stopped
  kReadOnly,   ///< a standby that answers reads
  kReadWrite,  ///< the writable leader under its own decided rule
};

struct Serving {
  ServingMode mode = ServingMode::kNone;
  /// Leaving `mode` soon: nothing new is begun (no session, no transaction); what is under way may end.
  bool draining = false;
  /// The rule under which it leads; {0,0} unless kReadWrite.
  std::int64_t coordinator_term = 0;
  std::int64_t leader_subterm = 0;
  bool operator==(const Serving&) const = default;
};

/// What clients have under way on a draining leader.
struct Load {
  int statements = 0;    ///< outside of transactions, and sessions that are just being handed back
  int transactions = 0;  ///< open ones
};

/// How to reach the PostgreSQL behind this pooler; fixed for the life of the process.
struct PostgresEndpoint {
  std::string socket_directory;  ///< resolved; empty: TCP to host
  std::string host;              ///< for TCP
  int port = 0;
  std::string superuser;
  std::string database;  ///< the database that the pooler serves and in which schema multigres lives
  /// The superuser's password; read anew from its file at each call, never kept.
  std::function<absl::StatusOr<std::string>()> password;
};

/// Holds the present Serving and tells observers of each change, in order, one call at a time.
class ServingState {
 public:
  using Observer = std::function<void(const Serving&)>;

  class Subscription {
   public:
    Subscription(ServingState* state, int id) : state_(state), id_(id) {}
    ~Subscription();  ///< waits for a call under way; not from within an observer
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    ServingState* state_;
    int id_;
  };

  Serving current() const;

  /// Calls `observer` with the present value before it returns, then on each change. An observer must be quick: Set
  /// waits for it, so when it returns the pool has stopped to hand out what is no longer allowed. It must not call Set.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Observer observer);

  /// Manager only. Returns after all observers have seen the value; equal to the present one: no calls.
  void Set(const Serving& serving);

  /// Pool only, while it drains: what is left. The first report of a drain is made before Set returns.
  void Report(const Load& load);
  /// Manager only, after Set of a draining value: waits for the end of what is under way. Open transactions are waited
  /// for until `patience`, statements until `deadline`. What is left then.
  Load WaitForDrain(absl::Time patience, absl::Time deadline) const;

 private:
  mutable std::mutex mutex_;  ///< guards current_ and load_
  mutable std::condition_variable load_changed_;
  Serving current_;
  Load load_;
  std::mutex observers_mutex_;  ///< guards the rest; held during calls, taken before mutex_
  std::map<int, Observer> observers_;
  int next_id_ = 1;
};

}  // namespace mg::multipooler
