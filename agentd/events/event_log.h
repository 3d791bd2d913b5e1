/// What happened to clusters and components, newest last. The last ones are kept in memory, more of them on disk: JSON
/// lines in <directory>/events.jsonl, which becomes events.1.jsonl when it is full. So they are bounded, outlive the
/// agent, and can be read on from a cursor. A line that a crash left unfinished is skipped. Any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/events/feed.h"
#include "common/fs/unique_fd.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::events {

/// The type of a cluster's last event.
inline constexpr char kRemoved[] = "removed";

class EventLog {
 public:
  using Event = multigres::agent::v1::Event;
  static constexpr size_t kKept = 1000;
  static constexpr std::uint64_t kFileBytes = 1u << 20;

  /// An empty directory: in memory only. A disk that cannot be written is no failure: events then are in memory only.
  explicit EventLog(std::string directory = "", std::uint64_t file_bytes = kFileBytes);

  /// Adds an event that happened now.
  void Add(const std::string& cluster, const std::string& component, const std::string& type,
           const std::string& message, absl::Duration duration = absl::ZeroDuration());

  /// Sequence number to read after, for a cursor that an Event had. A cursor of another log begins with the oldest
  /// event that is kept. INVALID_ARGUMENT for what never was a cursor.
  absl::StatusOr<std::int64_t> Position(const std::string& cursor) const;

  /// As Feed::ReadAfter, but what is no longer in memory comes from the disk.
  Feed<Event>::Batch ReadAfter(std::int64_t after, size_t limit) const;

  /// Number of the last event of former clusters of that name: those that were removed. 0: there were none.
  std::int64_t EndOfRemoved(const std::string& cluster) const;

  Feed<Event>& feed() { return feed_; }

 private:
  std::string PathOf(bool old) const;
  void Load();
  void Write(const Event& event);

  const std::string directory_;
  const std::uint64_t file_bytes_;
  std::string epoch_;  ///< tells this log's cursors from those of another one
  UniqueFd file_;      ///< guarded by the feed: written while an event is added
  std::uint64_t written_ = 0;
  Feed<Event> feed_;
};

}  // namespace mg::events
