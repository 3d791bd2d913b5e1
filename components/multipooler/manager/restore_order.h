/// What a pooler's data is to come from, on disk from the moment it was set aside until it is there again: a pooler
/// that is restarted in between goes on with it.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "components/multipooler/manager/config.h"
#include "multigres/pooler/v1/backup.pb.h"

namespace mg::multipooler {

absl::Status WriteRestoreOrder(const Config& config, const multigres::pooler::v1::ResetForRestoreRequest& order);
/// Nothing when there is none. DATA_LOSS when it cannot be understood.
absl::StatusOr<std::optional<multigres::pooler::v1::ResetForRestoreRequest>> ReadRestoreOrder(const Config& config);
absl::Status RemoveRestoreOrder(const Config& config);

/// What the directory beside the data has been filled for, and recovered: written last.
absl::Status WritePreparedOrder(const Config& config, const multigres::pooler::v1::ResetForRestoreRequest& order);
/// Whether it was for the same backup and moment.
absl::StatusOr<bool> IsPrepared(const Config& config, const multigres::pooler::v1::ResetForRestoreRequest& order);
absl::Status RemovePreparedOrder(const Config& config);

}  // namespace mg::multipooler
