/// What happened to clusters and components, newest last: kept in memory, bounded, resumable by cursor. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/events/feed.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::events {

class EventLog {
 public:
  using Event = multigres::agent::v1::Event;
  static constexpr size_t kKept = 1000;

  EventLog();

  /// Adds an event that happened now.
  void Add(const std::string& cluster, const std::string& component, const std::string& type,
           const std::string& message, absl::Duration duration = absl::ZeroDuration());

  /// Sequence number to read after, for a cursor that an Event had. A cursor of a former agent begins with the oldest
  /// event that is kept. INVALID_ARGUMENT for what never was a cursor.
  absl::StatusOr<std::int64_t> Position(const std::string& cursor) const;

  Feed<Event>& feed() { return feed_; }

 private:
  std::string epoch_;  ///< tells this agent's cursors from those of its predecessors
  Feed<Event> feed_;
};

}  // namespace mg::events
