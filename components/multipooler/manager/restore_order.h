/// What a pooler's data is to come from, on disk from the moment it was set aside until it is there again: a pooler
/// that is restarted in between goes on with it. And how the latest restore ended.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "components/multipooler/manager/config.h"
#include "multigres/pooler/v1/backup.pb.h"

namespace mg::multipooler {

namespace backup {
struct Wish;
}

/// Where the former data is kept, and where the new data is made.
std::string KeptDirectory(const Config& config);
std::string FreshDirectory(const Config& config);
/// What had been promised before a restore, in the form of the promises' own file.
std::string KeptPromises(const Config& config);

/// What it wants of the log behind the backup.
backup::Wish WishOf(const multigres::pooler::v1::ResetForRestoreRequest& order);

absl::Status WriteRestoreOrder(const Config& config, const multigres::pooler::v1::ResetForRestoreRequest& order);
/// Nothing when there is none. DATA_LOSS when it cannot be understood.
absl::StatusOr<std::optional<multigres::pooler::v1::ResetForRestoreRequest>> ReadRestoreOrder(const Config& config);
absl::Status RemoveRestoreOrder(const Config& config);

/// What the directory beside the data has been filled for, and recovered: written last.
absl::Status WritePreparedOrder(const Config& config, const multigres::pooler::v1::ResetForRestoreRequest& order);
/// Whether it was for the same backup and moment.
absl::StatusOr<bool> IsPrepared(const Config& config, const multigres::pooler::v1::ResetForRestoreRequest& order);
absl::Status RemovePreparedOrder(const Config& config);

/// The outcome of the latest restore that this pooler knows the end of. Any thread.
class RestoreLedger {
 public:
  using Outcome = multigres::pooler::v1::GetRestoreOutcomeResponse;

  explicit RestoreLedger(const Config& config);
  /// DATA_LOSS when the file cannot be understood.
  absl::Status Load();
  /// On disk before anybody hears of it.
  absl::Status Decide(Outcome outcome);
  /// Unspecified when it is not known.
  Outcome Get(const std::string& restore_id) const;
  /// The same once it is known, at the deadline, or after Stop.
  Outcome Await(const std::string& restore_id, absl::Time deadline) const;
  void Stop();

 private:
  Outcome GetLocked(const std::string& restore_id) const;

  const std::string path_;
  mutable std::mutex mutex_;  ///< guards all below
  mutable std::condition_variable changed_;
  Outcome latest_;
  bool stopped_ = false;
};

}  // namespace mg::multipooler
