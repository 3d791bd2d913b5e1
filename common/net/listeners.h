/// Which TCP ports of this machine take connections, asked of the kernel at once, without connecting to any: a
/// connection costs the server that takes it more than the answer is worth, and says no more, for it is the kernel that
/// takes it. Any thread; does not block.
#pragma once

#include <set>

#include "absl/status/statusor.h"

namespace mg::net {

/// The ports that a connection to 127.0.0.1 reaches. UNAVAILABLE where the kernel does not tell (it has no inet_diag).
absl::StatusOr<std::set<int>> LoopbackListeners();

}  // namespace mg::net
