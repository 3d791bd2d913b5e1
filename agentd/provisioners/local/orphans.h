/// Components whose state directory somebody deleted while they ran.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace mg::local {

/// Ends what still runs though its run directory, which was below `directory`, was deleted: nobody can reach it, and
/// the next start would meet it on its ports. `say` (may be empty) gets one sentence about them. Blocks until they are
/// gone; OK when there is none. Any thread.
absl::Status EndOrphansBelow(const std::string& directory, const std::function<void(const std::string&)>& say);

}  // namespace mg::local
