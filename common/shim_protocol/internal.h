/// What the parts of this folder share; not for others.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/shim_protocol/shim.h"

namespace mg::shim {

/// A step of a ladder in the shim's words: `<signal>:<wait in ms>:<tree>`.
std::string FormatStep(const StopStep& step);

/// Milliseconds for poll, rounded up; -1 for ever.
int MillisecondsUntil(absl::Time deadline);

/// Waits for the end of exactly this process; false: it still runs at the deadline.
bool WaitGone(const ProcessId& id, absl::Time deadline);

/// Ends what a killed shim left behind of its component's tree (the component itself dies with its shim). Does nothing
/// when the component's end is recorded, for then the shim saw to it. Returns when they are gone, or after 2 s.
void EndLeftovers(const std::string& run_dir, const ShimState& state);

}  // namespace mg::shim
