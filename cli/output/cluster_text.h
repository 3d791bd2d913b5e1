/// A cluster's state as a person reads it. Pure.
#pragma once

#include <string>

#include "cli/output/terminal.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::cli {

/// What the cluster is, its components, and where clients find it. On a terminal with as much as its width holds; what
/// was left out is marked, and a URL is never cut.
std::string ClusterText(const multigres::provisioner::v1::ClusterStatus& status, const Terminal& terminal);

}  // namespace mg::cli
