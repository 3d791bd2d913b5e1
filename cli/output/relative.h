/// Moments for people: how long ago, or in what time. Programs get RFC 3339 (proto3 JSON). Pure.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace google::protobuf {
class Timestamp;
}

namespace mg::cli {

/// `just now` (less than a second), `12 seconds ago`, `3 minutes ago`, `in 2 days`; one unit, rounded down.
std::string Relative(absl::Time moment, absl::Time now);

/// Of a protobuf timestamp, by the clock of this machine; `none` where it is not set.
std::string Relative(const google::protobuf::Timestamp& moment, const std::string& none = "");

}  // namespace mg::cli
