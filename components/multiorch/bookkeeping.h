/// Which records of poolers nobody will come back for. A pure function.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "components/multiorch/shard_view.h"

namespace mg::multiorch {

/// Of the shard's records those that may be deleted: shut down a day ago, or out of this orch's reach for four hours. A
/// member of the cohort in force never: it is waited for, and whoever recruits it needs its address. Nothing in the
/// first hour after `watching_since`, when the poolers of a cluster that was down register again. A pooler that does
/// come back registers again, too.
std::vector<clustermetadata::ID> Forgotten(const std::vector<clustermetadata::Multipooler>& records,
                                           const ShardView& view, absl::Time watching_since, absl::Time now);

}  // namespace mg::multiorch
