/// What is wrong with a shard, for people and for GetShardStatus. A list of analyses, each a pure function of the view;
/// finer detection of failures at run time is added here, beside LeaderIsAlive in decision.h. Facts: manager-rpcs
/// section 8.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "components/multiorch/shard_view.h"
#include "multiorchservice.pb.h"

namespace mg::multiorch {

std::vector<::multiorch::DetectedProblem> Analyse(const ShardView& view, absl::Time now);

}  // namespace mg::multiorch
