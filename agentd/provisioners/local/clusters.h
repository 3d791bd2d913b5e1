/// The clusters of this state directory: from what a user says (ClusterSelector) to the one that is meant, and its
/// state on disk, read once. Any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/local_provisioner.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/store/registry.h"

namespace mg::local {

class Clusters {
 public:
  explicit Clusters(const LocalOptions& options) : options_(options), registry_(options.home) {}

  /// The cluster that the selector means; it need not exist yet. NOT_FOUND for a name that nothing is known of, unless
  /// `may_be_new`.
  absl::StatusOr<std::shared_ptr<Cluster>> Find(const v1::ClusterSelector& selector, bool may_be_new);
  /// All that are registered.
  absl::StatusOr<std::vector<std::shared_ptr<Cluster>>> All();
  /// Writes the model's record, its directory if need be, and the registry's line.
  absl::Status Save(Cluster* cluster, Model* model);
  /// Forgets a cluster whose data is gone.
  absl::Status Forget(Cluster* cluster);
  /// Ports that other clusters have recorded.
  std::set<int> PortsOfOthers(const Cluster& cluster);

 private:
  absl::StatusOr<config::ClusterPlace> PlaceOf(const v1::ClusterSelector& selector, bool may_be_new);
  absl::StatusOr<std::shared_ptr<Cluster>> At(const config::ClusterPlace& place);

  const LocalOptions options_;
  store::Registry registry_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Cluster>> clusters_;  ///< by root
};

/// Some of its components have been launched, by what is in their run directories.
bool WasLaunched(const Model& model);

/// What the agent tells of a cluster, by its record.
provisioners::Provisioner::ClusterInfo InfoOf(Cluster* cluster);

}  // namespace mg::local
