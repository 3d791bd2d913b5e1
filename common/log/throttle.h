/// Keeps a fault that repeats from filling the log. One thread.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace mg::log {

class Throttle {
 public:
  explicit Throttle(absl::Duration interval = absl::Seconds(10)) : interval_(interval) {}

  /// To be asked at each occurrence: how many were not told since the last that was, or nothing when this one is not to
  /// be told either.
  std::optional<std::int64_t> Next(absl::Time now = absl::Now()) {
    if (now - told_ < interval_) {
      ++untold_;
      return std::nullopt;
    }
    told_ = now;
    std::int64_t untold = untold_;
    untold_ = 0;
    return untold;
  }

 private:
  const absl::Duration interval_;
  absl::Time told_ = absl::InfinitePast();
  std::int64_t untold_ = 0;
};

}  // namespace mg::log
