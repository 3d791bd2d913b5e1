#include "common/etcd/away.h"

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::etcd {

absl::Status TopologyAway(absl::string_view problem) {
  return MakeError(absl::StatusCode::kUnavailable, absl::StrCat("the topology's etcd does not answer: ", problem),
                   {.reason = "TOPOLOGY_UNAVAILABLE", .hint = "see multigres status", .subject = "etcd"});
}

}  // namespace mg::etcd
