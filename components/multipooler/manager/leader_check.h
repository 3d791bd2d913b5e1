/// Whether a leader can be trusted with the place of this node's data: nobody may lead under a newer rule, which this
/// node may have helped to make durable and would forget. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "clustermetadata.pb.h"

namespace mg::multipooler {

/// What a node of the shard says when it is asked. This node answers too: its promises outlive its data.
struct NodeAnswer {
  clustermetadata::ID id;
  clustermetadata::RuleNumber highest;  ///< the newest rule in its log, decided or not; none: its log cannot be read
  std::int64_t promised_term = 0;
};

/// OK when `rule` was still in force when the nodes were asked: those of its cohort that know and have promised nothing
/// newer are so many that the others cannot have been recruited for a newer one. UNAVAILABLE when too few answered,
/// FAILED_PRECONDITION when there is something newer.
absl::Status CheckInForce(const clustermetadata::ShardRule& rule, const std::vector<NodeAnswer>& answers);

}  // namespace mg::multipooler
