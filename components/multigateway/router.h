/// Which poolers there are and which of them leads, from a watch on the topology. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "clustermetadata.pb.h"
#include "common/topology/topology.h"

namespace mg::multigateway {

class Router {
 public:
  Router(topology::Topology* topology, std::string cell);

  /// The pooler of the database that claims PRIMARY under the highest rule and serves. Empty database: any.
  std::optional<clustermetadata::Multipooler> Primary(const std::string& database) const;
  /// A standby: of the own cell first, then any; the n-th choice for n-th tries.
  std::optional<clustermetadata::Multipooler> Standby(const std::string& database, unsigned turn) const;
  /// Poolers to ask for credentials: the primary first, then those of the own cell, then the others.
  std::vector<clustermetadata::Multipooler> ForCredentials(const std::string& database) const;
  bool any() const;

  /// Called from the watch's thread after each change; set once, before Start.
  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }
  void Start();
  void Stop();

 private:
  std::vector<clustermetadata::Multipooler> Live(const std::string& database) const;

  topology::Topology* topology_;
  const std::string cell_;
  std::function<void()> changed_;
  mutable std::mutex mutex_;
  std::vector<clustermetadata::Multipooler> poolers_;
  std::unique_ptr<topology::Topology::Watch> watch_;
};

}  // namespace mg::multigateway
