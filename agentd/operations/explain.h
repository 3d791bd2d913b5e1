/// Why a component is as it is, from what is known of all of them. Pure.
#pragma once

#include <string>
#include <vector>

#include "multigres/agent/v1/agent.pb.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::operations {

/// `component` is one of the specs. `events` are the cluster's, oldest first. Without the log lines.
multigres::agent::v1::ExplainComponentResponse Explain(
    const std::vector<multigres::provisioner::v1::ComponentSpec>& specs,
    const multigres::provisioner::v1::ClusterStatus& status, const std::vector<multigres::agent::v1::Event>& events,
    const std::string& component);

}  // namespace mg::operations
