/// Table groups and shards, as the poolers' records and the initialisation claims tell them. Pure; any thread.
#pragma once

#include <string>

#include "components/multiadmin/cache/topology_cache.h"
#include "multigres/admin/v1/topology.pb.h"

namespace mg::multiadmin {

multigres::admin::v1::ListTableGroupsResponse ListTableGroups(
    const TopologyView& view, const multigres::admin::v1::ListTableGroupsRequest& request);
multigres::admin::v1::ListShardsResponse ListShards(const TopologyView& view,
                                                    const multigres::admin::v1::ListShardsRequest& request);

}  // namespace mg::multiadmin
