/// Whether a former primary's log fits the log of the node that leads now. Blocking.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/pgsql/connection.h"

namespace mg::multipooler {

/// Asks the leader (a replication connection) for its timeline's history and compares: true when this node, at `lsn` on
/// `timeline`, has written past the point where the leader's history left that timeline, or is on one that the leader
/// has never been on. UNAVAILABLE while that cannot be told.
absl::StatusOr<bool> HasDiverged(const pgsql::ConnectOptions& leader, int timeline, const std::string& lsn,
                                 absl::Time deadline);

/// The same comparison, on the text of a history file. `leader_timeline` is the timeline that the history leads to.
absl::StatusOr<bool> DivergesFromHistory(const std::string& history, int leader_timeline, int timeline,
                                         const std::string& lsn);

}  // namespace mg::multipooler
