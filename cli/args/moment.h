/// Moments as people write them. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg::cli {

/// A time before now (`10m`, `1h30m`, `2d`, `1w`), `now`, `today` or `yesterday` (their midnight), a time of today
/// (`14:30`, `14:30:05`), a day (`2026-01-31`), a day and a time, or RFC 3339. Without an offset it is in `zone`.
/// `flag` is named in the error, INVALID_ARGUMENT.
absl::StatusOr<absl::Time> ParseMoment(const std::string& text, const std::string& flag, absl::Time now,
                                       absl::TimeZone zone);

}  // namespace mg::cli
