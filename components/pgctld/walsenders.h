/// The walsenders of a PostgreSQL that is shutting down. A fast shutdown waits for each until its standby has
/// everything: as long as wal_sender_timeout, or for ever, where the standby hangs or is cut off.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "absl/time/time.h"

namespace mg::pgctld {

/// Tells when nothing but walsenders holds up a shutdown, and they send nothing more. Not thread-safe.
class WalSenderWatch {
 public:
  explicit WalSenderWatch(std::string data_dir) : data_dir_(std::move(data_dir)) {}

  /// Looks at the processes. True: whoever else is left waits for the walsenders, and none of these has sent anything
  /// for as long as `patience`.
  bool Stuck(absl::Time now, absl::Duration patience);

 private:
  const std::string data_dir_;
  std::map<int, std::string> titles_;  ///< of the walsenders, by pid
  absl::Time since_ = absl::InfiniteFuture();
};

/// Asks the walsenders to end. One that cannot send its last words, since its connection takes nothing more, gives them
/// up when it is asked again.
void EndWalSenders(const std::string& data_dir);

}  // namespace mg::pgctld
