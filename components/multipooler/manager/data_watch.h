/// Whether a data directory is of no use any more: its server does not start, or starts and cannot be worked with. Pure
/// bookkeeping of what the monitor sees; one thread. Times are QuorumWatch's.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace mg::multipooler {

class DataWatch {
 public:
  /// A start of the present data was tried.
  void Tried(const absl::Status& start);
  /// A running server was asked for its state. An error that tells of damage counts, others do not.
  void Asked(const absl::Status& answer, absl::Time now);
  /// The log of a standby that has a leader to follow: whether it streams (or is not to), and how far it is.
  void Followed(bool streams, const std::string& lsn, absl::Time now);
  /// A copy of the leader's has taken the data's place: if that is of no use either, the cause is another one, so the
  /// next copy comes after a pause that doubles.
  void Replaced(absl::Time now);
  /// The data has followed a leader.
  void Streams();

  /// Why the data is of no use; empty: it is, or it is not known yet.
  std::string WhyUnusable(absl::Time now) const;

 private:
  int failed_starts_ = 0;
  std::string start_error_;
  absl::Time damaged_since_ = absl::InfiniteFuture();
  std::string damage_;
  absl::Time stands_since_ = absl::InfiniteFuture();  ///< neither streams nor replays
  std::string lsn_;
  absl::Time not_before_ = absl::InfinitePast();
  absl::Duration pause_ = absl::Minutes(1);
};

/// Whether a failed start was the data's fault, as far as its server's last lines tell: it ended by itself, and not for
/// want of a port, memory or room on the disk, which a copy would lack as well.
bool BlamesData(const absl::Status& start);

}  // namespace mg::multipooler
