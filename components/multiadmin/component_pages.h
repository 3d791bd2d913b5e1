/// The pages of the other components, through multiadmin's HTTP port, as upstream has them: /services lists them,
/// /proxy/{admin,gate,pool,orch}/{cell}/{name}/… shows them. Any thread.
#pragma once

#include "common/servenv/servenv.h"
#include "components/multiadmin/cache/topology_cache.h"

namespace mg::multiadmin {

/// Adds both; `cache` must outlive the server.
void AddComponentPages(servenv::Server* server, TopologyCache* cache);

/// HTML whose links lead through the proxy: a `base` first in `head`, and `prefix` before every href and src that
/// begins with `/`, but for those that begin with `/proxy/`. Pure.
std::string ThroughProxy(const std::string& html, const std::string& prefix);

}  // namespace mg::multiadmin
