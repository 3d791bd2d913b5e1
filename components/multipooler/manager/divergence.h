/// Whether a former primary's log fits the log of the node that leads now. Blocking.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/pgsql/connection.h"

namespace mg::multipooler {

/// Asks the leader for its timeline's history and compares: true when this node, at `lsn` on `timeline`, has written
/// past the point where the leader's history left that timeline, or is on one that the leader has never been on.
/// UNAVAILABLE while that cannot be told: also before the leader's PostgreSQL is promoted, since its history ends with
/// a new timeline then.
absl::StatusOr<bool> HasDiverged(const pgsql::ConnectOptions& leader, int timeline, const std::string& lsn,
                                 absl::Time deadline);

/// The same comparison, on the text of a history file. `leader_timeline` is the timeline that the history leads to.
absl::StatusOr<bool> DivergesFromHistory(const std::string& history, int leader_timeline, int timeline,
                                         const std::string& lsn);

/// True when the leader, past that position itself, has no file any more of the segment that holds it: a standby that
/// needs it cannot be served by streaming, now or later.
absl::StatusOr<bool> LacksLogAt(const pgsql::ConnectOptions& leader, const std::string& lsn, absl::Time deadline);

/// The same of a segment, by its file's name; the timeline in it does not count.
absl::StatusOr<bool> LacksSegment(const pgsql::ConnectOptions& leader, const std::string& segment, absl::Time deadline);

/// Name of the segment that a server said, in what it wrote, is needed and gone from its source; empty: none.
std::string SegmentSaidToBeGone(const std::string& log);

/// Sees to it that the leader can be rewound from: it must have made a checkpoint on its present timeline. A leader
/// does that by itself, but not while its rule waits for just this node.
absl::Status PrepareSource(const pgsql::ConnectOptions& leader, absl::Time deadline);

}  // namespace mg::multipooler
