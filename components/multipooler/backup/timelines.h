/// Which way the log is followed behind a backup. A shard's archive holds all of its timelines: a change of leader
/// begins one, and so does a restore, which may take back what was written. "As the data was at that time" then means
/// the timeline that was in use at that time, and not the newest.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/consensus/timeline_history.h"

namespace mg::multipooler::backup {

struct Timeline {
  int id = 0;
  absl::Time begun = absl::InfinitePast();         ///< when its history came into the archive
  std::vector<consensus::LeftTimeline> ancestors;  ///< oldest first
};

/// Where a backup ends.
struct BackupEnd {
  std::string id;  ///< of the backup, for messages
  int timeline = 0;
  std::string lsn;
};

/// What is wanted of a recovery.
struct Wish {
  absl::Time time = absl::InfiniteFuture();  ///< the data as it was then; InfiniteFuture: all that there is
  bool newest = false;                       ///< with all that there is: on the shard's newest timeline
};

/// Those whose history the repository has, ascending; the first one, which has none, is always there.
absl::StatusOr<std::vector<Timeline>> ReadTimelines(const std::string& repository);

/// The newest one that a backup leads to.
Timeline LineOf(const std::vector<Timeline>& timelines, const BackupEnd& backup);

/// Values of recovery_target_timeline, of which the first that reaches the wished moment is right. A history may have
/// come into the archive later than its timeline began, so more than one can be. `timelines` as they were read.
/// FAILED_PRECONDITION with BACKUP_OF_ANOTHER_TIMELINE when no way leads from the backup to there.
absl::StatusOr<std::vector<std::string>> WaysTo(std::vector<Timeline> timelines, const BackupEnd& backup,
                                                const Wish& wish);

}  // namespace mg::multipooler::backup
