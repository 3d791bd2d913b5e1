/// The exit status of our programs for each error code: one table.
#pragma once

#include "absl/status/status.h"

namespace mg {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotFound = 3;
inline constexpr int kExitUnhealthy = 4;
inline constexpr int kExitPermission = 5;
inline constexpr int kExitUnavailable = 6;
inline constexpr int kExitInterrupted = 130;

/// OK 0; INVALID_ARGUMENT 2; NOT_FOUND 3; DEADLINE_EXCEEDED and FAILED_PRECONDITION 4; PERMISSION_DENIED and
/// UNAUTHENTICATED 5; UNAVAILABLE 6; CANCELLED 130; everything else 1.
int ExitCodeOf(absl::StatusCode code);

}  // namespace mg
