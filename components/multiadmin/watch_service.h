/// WatchTopology over gRPC: no thread for a watcher, no wait, no poll. A slow reader gets what it missed as one
/// difference, or everything anew.
#pragma once

#include <grpcpp/grpcpp.h>

#include "components/multiadmin/cache/topology_cache.h"
#include "components/multiadmin/grpc_service.h"
#include "multigres/admin/v1/topology.pb.h"

namespace mg::multiadmin {

/// TopologyService, its stream included. `cache` must outlive it.
class TopologyGrpcService final : public GrpcService {
 public:
  TopologyGrpcService(const Methods* methods, TopologyCache* cache);
};

/// What makes `after` of `before` (nullptr: of nothing) for a watcher of some cells (empty: all).
multigres::admin::v1::WatchTopologyResponse Difference(const TopologyView* before, const TopologyView& after,
                                                       const multigres::admin::v1::WatchTopologyRequest& request);

}  // namespace mg::multiadmin
