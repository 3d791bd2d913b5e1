/// What many poolers say of themselves, asked all at once.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "multigres/admin/v1/topology.pb.h"

namespace grpc {
class Status;
}

namespace mg::multiadmin {

class Admin;

/// What a call of a pooler failed with, and `what` could not be done: POOLER_SILENT where the pooler gave no answer.
absl::Status PoolerFailed(absl::string_view what, const clustermetadata::ID& id, const grpc::Status& called);

/// Until when an answer of a pooler or of a gateway is waited for, where the caller waits until `deadline`: three
/// seconds at most, and less than the caller, so that it hears who is silent.
absl::Time EndOfPatience(absl::Time deadline);

/// Each has three seconds, or until the deadline; what one failed with stands in its place of the answer.
absl::StatusOr<multigres::admin::v1::GetPoolerStatusesResponse> GetPoolerStatuses(
    Admin* admin, const multigres::admin::v1::GetPoolerStatusesRequest& request, absl::Time deadline);

}  // namespace mg::multiadmin
