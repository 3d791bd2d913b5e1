#include "common/clock/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace mg {
namespace {

class MachineClock : public Clock {
 public:
  absl::Time Wall() const override { return absl::Now(); }
  absl::Time Steady() const override {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return absl::TimeFromTimespec(now);
  }
};

}  // namespace

const Clock& SystemClock() {
  static const MachineClock kClock;
  return kClock;
}

}  // namespace mg
