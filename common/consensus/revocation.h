/// Promises: when a node may accept a coordinator's term, and which rules a promise revokes. Facts: manager-rpcs
/// section
/// 7. Pure functions.
#pragma once

#include "absl/status/status.h"
#include "clustermetadata.pb.h"

namespace mg::consensus {

/// Whether a node at `position` that has promised `stored` may promise `asked`. FAILED_PRECONDITION, or
/// INVALID_ARGUMENT for an incomplete request. The same promise again is acceptable.
absl::Status CheckRevocation(const clustermetadata::TermRevocation& asked,
                             const clustermetadata::PoolerPosition& position,
                             const clustermetadata::ConsensusPromises& stored);

/// Whether two promises are the same one: term, coordinator, time.
bool SameRevocation(const clustermetadata::TermRevocation& a, const clustermetadata::TermRevocation& b);

/// Whether a promise forbids to act under a rule.
bool IsRevoked(const clustermetadata::RuleNumber& rule, const clustermetadata::ConsensusPromises& promises);

}  // namespace mg::consensus
