/// Which poolers there are, from a watch on the topology, and which of them leads and serves: by their own word while
/// they are reached, else by their records. Any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "clustermetadata.pb.h"
#include "common/rpc/dialer.h"
#include "common/topology/topology.h"
#include "components/multigateway/pooler_health.h"

namespace mg::multigateway {

class Router {
 public:
  Router(topology::Topology* topology, std::string cell, rpc::Dialer dialer);

  /// The pooler of the database that claims PRIMARY under the highest rule and serves. Empty database: any.
  std::optional<clustermetadata::Multipooler> Primary(const std::string& database) const;
  /// A standby: of the own cell first, then any; the n-th choice for n-th tries.
  std::optional<clustermetadata::Multipooler> Standby(const std::string& database, unsigned turn) const;
  /// Poolers to ask for credentials: the primary first, then those of the own cell, then the others.
  std::vector<clustermetadata::Multipooler> ForCredentials(const std::string& database) const;
  bool any() const;
  /// Whose poolers serve a client that names `wanted`: those of the database of that name; else of `fallback`, whose
  /// PostgreSQL may have a database of that name, or says that it has none; without a fallback those of the only
  /// database there is. Empty: no pooler is known yet. None: there are several databases, and none of that name.
  std::optional<std::string> DatabaseFor(const std::string& wanted, const std::string& fallback) const;

  /// Called after each change, from threads of the watch and of gRPC; set once, before Start.
  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }
  void Start();
  void Stop();

 private:
  void Changed();
  void TellPrimaries();
  std::vector<clustermetadata::Multipooler> Live(const std::string& database) const;

  topology::Topology* topology_;
  const std::string cell_;
  std::function<void()> changed_;
  mutable std::mutex mutex_;
  std::vector<clustermetadata::Multipooler> poolers_;
  std::mutex told_mutex_;                                            ///< guards told_; taken before mutex_
  std::map<std::string, std::pair<std::string, std::string>> told_;  ///< by database: primary and rule, as logged
  PoolerHealth health_;
  std::unique_ptr<topology::Topology::Watch> watch_;
};

}  // namespace mg::multigateway
