/// The state of one cluster as a snapshot with a revision and ordered changes. Probes only while somebody watches: at
/// once after Poke, else every few seconds. Any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/statusor.h"
#include "agentd/events/feed.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::events {

namespace v1 = multigres::provisioner::v1;

class StateFeed {
 public:
  /// A component's new state; unset: more than single components changed, and the snapshot must be read again.
  using Change = std::optional<v1::ComponentStatus>;
  using Probe = std::function<absl::StatusOr<v1::ClusterStatus>()>;

  /// Starts probing; the first snapshot comes by and by.
  explicit StateFeed(Probe probe);
  ~StateFeed();
  StateFeed(const StateFeed&) = delete;
  StateFeed& operator=(const StateFeed&) = delete;

  /// Something happened: probe now.
  void Poke();

  struct Snapshot {
    std::int64_t position = 0;  ///< in changes(): read what comes after it
    v1::ClusterStatus status;
  };
  /// The newest state; unset: not probed yet. An error when the last probe failed.
  absl::StatusOr<std::optional<Snapshot>> Latest() const;

  /// Grows by one with each change; a position p is revision base() + p. The base is this feed's birth in microseconds,
  /// so that a revision of a former one is recognised as older than anything that is kept.
  Feed<Change>& changes() { return changes_; }
  std::int64_t base() const { return base_; }

 private:
  void Run();
  void Update(absl::StatusOr<v1::ClusterStatus> status);

  const Probe probe_;
  const std::int64_t base_;
  Feed<Change> changes_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  absl::StatusOr<std::optional<Snapshot>> latest_ = std::optional<Snapshot>();
  bool poked_ = false;
  bool stop_ = false;
  std::thread thread_;
};

/// The same but for what changes all the time: uptimes, write positions and lags.
bool SameState(const v1::ComponentStatus& a, const v1::ComponentStatus& b);

}  // namespace mg::events
