/// What a caller is told while the topology's etcd does not answer.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace mg::etcd {

/// UNAVAILABLE with TOPOLOGY_UNAVAILABLE; `problem` is what was met with instead of an answer.
absl::Status TopologyAway(absl::string_view problem);

}  // namespace mg::etcd
