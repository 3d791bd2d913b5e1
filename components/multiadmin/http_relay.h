/// Passes one HTTP request on to another server. Blocks, within the deadline.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/servenv/servenv.h"

namespace mg::multiadmin {

/// Method, path, query, body and the end-to-end headers as they are; Host is the target's, X-Forwarded-* are set.
/// UNAVAILABLE, DEADLINE_EXCEEDED.
absl::StatusOr<servenv::HttpResponse> RelayHttp(const std::string& host, int port, const servenv::HttpRequest& request,
                                                absl::Time deadline);

}  // namespace mg::multiadmin
