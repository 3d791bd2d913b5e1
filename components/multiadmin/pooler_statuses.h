/// What many poolers say of themselves, asked all at once.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "multigres/admin/v1/topology.pb.h"

namespace mg::multiadmin {

class Admin;

/// Each has three seconds, or until the deadline; what one failed with stands in its place of the answer.
absl::StatusOr<multigres::admin::v1::GetPoolerStatusesResponse> GetPoolerStatuses(
    Admin* admin, const multigres::admin::v1::GetPoolerStatusesRequest& request, absl::Time deadline);

}  // namespace mg::multiadmin
