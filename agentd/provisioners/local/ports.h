/// Which TCP port each component gets: what the file fixes, else what was chosen before, else the documented default,
/// else the next free one. Pure but for the questions that it asks through PortFacts.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/cluster_config.h"

namespace mg::local {

/// Ports by component name and port name: ports["multigateway/zone1"]["postgres"] = 15432.
using PortMap = std::map<std::string, std::map<std::string, int>>;

/// A port that a component needs.
struct PortNeed {
  std::string component;
  std::string name;       ///< http, grpc, postgres, postgres_replica, client, peer, metrics, pgbackrest
  int documented = 0;     ///< default of the contract; cell n has the first cell's plus n
  config::PortWish wish;  ///< what the file says
};

/// Everything that a cluster listens on but for its later databases, in the order of components.
std::vector<PortNeed> PortNeeds(const config::ClusterConfig& config);
/// What a member of a later database listens on; `number` counts such members.
std::vector<PortNeed> MemberPortNeeds(const std::string& cell, const std::string& database, int number);

struct PortFacts {
  std::function<bool(int port)> is_free;          ///< could be listened on, and nobody reserved it
  std::function<std::string(int port)> describe;  ///< who has it: "nginx (pid 12)"
  std::set<std::string> running;                  ///< components that run: their recorded ports are their own
  std::set<int> of_others;                        ///< recorded by other clusters, running or not
};

struct PortChoice {
  PortMap ports;
  std::vector<std::string> remarks;  ///< one sentence for each default that could not be had
};

/// An error, reason PORT_IN_USE, when a fixed port is taken; it names every such port and its holder.
absl::StatusOr<PortChoice> ChoosePorts(const std::vector<PortNeed>& needs, const PortMap& recorded,
                                       const PortFacts& facts);

}  // namespace mg::local
