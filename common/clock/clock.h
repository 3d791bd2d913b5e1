/// The time of day, and a clock that only goes on. Bounds and pauses are measured with the second: somebody may set the
/// first back by an hour at any moment, and nothing may then wait for that hour. Tests put in one of their own.
#pragma once

#include "absl/time/time.h"

namespace mg {

/// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The time of day, for people and records.
  virtual absl::Time Wall() const = 0;
  /// Never goes back and never jumps; where it begins means nothing, and it is the same for all processes of this boot.
  virtual absl::Time Steady() const = 0;
};

/// The machine's own.
const Clock& SystemClock();

}  // namespace mg
