/// Recovery of a restored data directory by a PostgreSQL of its own that nobody can connect to, beside the one that
/// serves: so that a recovery which fails is known before anything is taken out of service.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "components/multipooler/backup/engine.h"

namespace mg::multipooler::backup {

/// Replays up to the directory's recovery target, where it has none up to the position that must be reached, where none
/// is known as far as makes its data consistent; and stops there. The next start goes on from where this ended.
/// FAILED_PRECONDITION with what PostgreSQL said when recovery ends otherwise; DATA_LOSS with ARCHIVE_GAP when it does
/// not get to that position. Blocking, until `deadline` or until `*cancelled`.
absl::Status Rehearse(const RestoreRequest& request, const Server& server, absl::Time deadline,
                      const std::atomic<bool>* cancelled);

/// Whether it says so because the log, on the timeline that was followed, ended before the target.
bool EndedBeforeTarget(const absl::Status& rehearsed);

/// When the last transaction ended that a recovery has replayed, in the words of its log; empty: it does not say so.
std::string LastCommit(const std::string& log);

/// The last FATAL or PANIC of a server's log, without its prefix; the log's last line when there is none.
std::string LastFatal(const std::string& log);

}  // namespace mg::multipooler::backup
