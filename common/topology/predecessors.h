/// Records that processes left behind which were killed. A gateway and an orch have a new id at each start, unless they
/// are given one, so nobody would overwrite or delete these.
#pragma once

#include "absl/time/time.h"
#include "common/topology/topology.h"

namespace mg::topology {

/// Deletes the records of `own`'s cell that have another id, and the same host and port of gRPC or HTTP. `own` has to
/// listen on these: only one process can, so whoever else names them is dead. What cannot be read or deleted is logged:
/// the next start tries again, and nothing depends on it.
void ForgetPredecessors(Topology* topology, const clustermetadata::Multigateway& own, absl::Time deadline);
void ForgetPredecessors(Topology* topology, const clustermetadata::Multiorch& own, absl::Time deadline);

}  // namespace mg::topology
