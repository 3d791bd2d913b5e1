/// google.protobuf's Timestamp and Duration, and Abseil's: within 1678 to 2262, and 292 years. Pure.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

#include "absl/time/time.h"

namespace mg::rpc {

inline absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

inline absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

inline void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  std::int64_t nanos = absl::ToUnixNanos(time);
  out->set_seconds(nanos / 1000000000);
  out->set_nanos(static_cast<int>(nanos % 1000000000));
}

inline void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  std::int64_t nanos = absl::ToInt64Nanoseconds(duration);
  out->set_seconds(nanos / 1000000000);
  out->set_nanos(static_cast<int>(nanos % 1000000000));
}

}  // namespace mg::rpc
