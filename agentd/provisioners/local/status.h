/// How a cluster is: every component asked at once, and what their answers mean together.
#pragma once

#include "absl/time/time.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/provisioners/local/probes.h"
#include "agentd/provisioners/local/replication.h"
#include "agentd/supervisor/supervisor.h"
#include "common/shim_protocol/shim.h"

namespace mg::local {

/// What is known of one component at the moment of asking.
struct Observation {
  const v1::ComponentSpec* spec = nullptr;
  shim::ShimState process;
  bool stopping = false;
  bool stopped_by_signal = false;
  supervisor::View view;  ///< where it stands in the loop
  ProbeResult probe;      ///< meaningful when the process lives
  std::string full_disk;  ///< the directory of its data, when there is hardly any room for more; empty: there is room
};

/// Reads the processes' files and asks those that live.
std::vector<Observation> Observe(const Model& model, const supervisor::Supervisor& supervisor, ComponentRpc* rpc,
                                 absl::Time deadline);

/// The state in words. Pure, but for the clock in `now` and the uptime of processes.
v1::ClusterStatus Describe(const Model& model, const std::vector<Observation>& observations, Activity activity,
                           absl::Time now, const std::string& boot_id);

/// The PostgreSQL that leads the database of `target`, a component or `primary/DATABASE`; the default one of any other
/// word. Empty: none, or it is not known.
std::string LeaderBeside(const std::string& target, const v1::ClusterStatus& status);

}  // namespace mg::local
