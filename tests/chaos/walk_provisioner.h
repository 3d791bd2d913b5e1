/// A provisioner for the random walk: the agent's real supervisor, probes, steps and records, with components that are
/// cheap to start and a clock that the walk moves. What makes a cluster of the components (etcd, a topology,
/// PostgreSQL) is left out. Any thread.
#pragma once

#include <memory>
#include <string>

#include "agentd/provisioners/contract.h"

namespace mg::walk {

struct WalkOptions {
  std::string root;       ///< the cluster's directory; may be on a small disk
  std::string controls;   ///< directory of `clock` (wall and steady offsets in seconds) and of `mode-<n>` per component
  std::string shim;       ///< program
  std::string component;  ///< program walk-component
  int components = 0;
  int first_port = 0;
};

/// Components are multiorch/c1, multiorch/c2 …; Plan reads the clock's file again.
absl::StatusOr<std::unique_ptr<provisioners::Provisioner>> CreateWalkProvisioner(WalkOptions options);

}  // namespace mg::walk
