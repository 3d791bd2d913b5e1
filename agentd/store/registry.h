/// All clusters that this state directory knows, in <home>/clusters.json. One agent per state directory, so there is
/// one writer. Any thread.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::store {

using RegisteredCluster = multigres::state::v1::RegisteredCluster;

class Registry {
 public:
  explicit Registry(std::string home) : home_(std::move(home)) {}

  /// By name. Entries whose root is gone are left out. A file that is lost or broken is made up
  /// for by its previous version and by what stands below the home.
  absl::StatusOr<std::vector<RegisteredCluster>> List() const;
  /// Adds it, or replaces the entry with the same root. Writes nothing when nothing changes.
  absl::Status Put(const RegisteredCluster& cluster);
  /// Gone already is success.
  absl::Status Remove(const std::string& root);

 private:
  std::string Path() const;
  absl::StatusOr<multigres::state::v1::ClusterRegistry> Read() const;
  absl::Status Write(multigres::state::v1::ClusterRegistry registry) const;

  const std::string home_;
  mutable std::mutex mutex_;
};

}  // namespace mg::store
