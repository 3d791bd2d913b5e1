/// Cells beyond upstream's contract: multigres.admin.v1.CellService, without a transport. Any thread; blocking, within
/// the deadline. Errors as the proto says.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "components/multiadmin/cache/topology_cache.h"
#include "multigres/admin/v1/cell.pb.h"

namespace mg::multiadmin {

class Cells {
 public:
  /// `cache` must outlive this.
  Cells(TopologyCache* cache, rpc::Dialer dialer) : cache_(cache), dialer_(std::move(dialer)) {}

  absl::StatusOr<multigres::admin::v1::ListCellsResponse> List(absl::Time deadline);
  absl::StatusOr<multigres::admin::v1::GetCellResponse> Get(const std::string& name, absl::Time deadline);
  absl::StatusOr<multigres::admin::v1::CreateCellResponse> Create(
      const multigres::admin::v1::CreateCellRequest& request, absl::Time deadline);
  absl::StatusOr<multigres::admin::v1::UpdateCellResponse> Update(
      const multigres::admin::v1::UpdateCellRequest& request, absl::Time deadline);
  absl::StatusOr<multigres::admin::v1::DeleteCellResponse> Delete(
      const multigres::admin::v1::DeleteCellRequest& request, absl::Time deadline);

 private:
  struct Stored {
    clustermetadata::Cell record;
    std::int64_t version = 0;
  };
  /// A cell's records lie below its root, so no two may share a place. INVALID_ARGUMENT.
  absl::Status CheckApart(const TopologyView& view, const clustermetadata::Cell& cell, absl::Time deadline);
  /// Whether both lists of addresses lead to one etcd, as far as it can be known now.
  using Addresses = std::vector<std::string>;
  bool SameEtcd(const Addresses& some, const Addresses& others, absl::Time deadline);
  absl::StatusOr<Stored> Read(const std::string& name, std::int64_t wanted_version, absl::Time deadline);
  std::string Key(const std::string& name) const;
  /// Reads the cell's own etcd, now, rather than the cache: a decision to delete must not rest on an old view.
  struct Inhabitants {
    std::vector<std::string> living;  ///< labels of what has not shut down for good
    std::vector<std::string> keys;    ///< of everything
    std::vector<std::int64_t> versions;
    std::int64_t revision = 0;
  };
  absl::StatusOr<Inhabitants> Inhabit(const clustermetadata::Cell& cell, bool forget_silent, absl::Time deadline);
  bool Answers(const std::string& address, absl::Time deadline) const;
  absl::Status Forget(const clustermetadata::Cell& cell, const Inhabitants& inhabitants, absl::Time deadline);

  TopologyCache* const cache_;
  const rpc::Dialer dialer_;
};

/// Fills in what is empty beside the name, and checks it. INVALID_ARGUMENT with the rule.
absl::Status CompleteCell(const TopologyCache& cache, clustermetadata::Cell* cell);

}  // namespace mg::multiadmin
