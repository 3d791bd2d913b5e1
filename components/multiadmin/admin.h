/// What the Admin API does, without a transport: gRPC and HTTP both call this. Any thread; blocking, within the
/// deadline.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "common/topology/topology.h"
#include "multiadminservice.pb.h"
#include "multigres/admin/v1/shard.pb.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multiadmin {

namespace pb = ::multiadmin;

/// Cells that a list call could not read, with the reason; the answer has what the others gave.
using CellErrors = std::vector<std::pair<std::string, std::string>>;

class Admin {
 public:
  Admin(topology::Topology* topology, rpc::Dialer dialer) : topology_(topology), dialer_(std::move(dialer)) {}

  absl::StatusOr<pb::GetCellResponse> GetCell(const pb::GetCellRequest& request, absl::Time deadline);
  absl::StatusOr<pb::GetCellNamesResponse> GetCellNames(absl::Time deadline);
  absl::StatusOr<pb::GetDatabaseResponse> GetDatabase(const pb::GetDatabaseRequest& request, absl::Time deadline);
  absl::StatusOr<pb::GetDatabaseNamesResponse> GetDatabaseNames(absl::Time deadline);
  absl::StatusOr<pb::GetGatewaysResponse> GetGateways(const pb::GetGatewaysRequest& request, absl::Time deadline,
                                                      CellErrors* errors);
  absl::StatusOr<pb::GetPoolersResponse> GetPoolers(const pb::GetPoolersRequest& request, absl::Time deadline,
                                                    CellErrors* errors);
  absl::StatusOr<pb::GetOrchsResponse> GetOrchs(const pb::GetOrchsRequest& request, absl::Time deadline,
                                                CellErrors* errors);
  absl::StatusOr<pb::GetPoolerStatusResponse> GetPoolerStatus(const pb::GetPoolerStatusRequest& request,
                                                              absl::Time deadline);
  absl::StatusOr<pb::SetPostgresRestartsEnabledResponse> SetRestarts(
      const pb::SetPostgresRestartsEnabledRequest& request, absl::Time deadline);

  /// Upstream's: the order only; whoever calls looks for the new leader.
  absl::StatusOr<pb::SwitchPrimaryResponse> SwitchPrimary(const pb::SwitchPrimaryRequest& request, absl::Time deadline);
  /// Ours: to a wished node, and waits until it serves.
  absl::StatusOr<multigres::admin::v1::SwitchPrimaryResponse> SwitchPrimaryTo(
      const multigres::admin::v1::SwitchPrimaryRequest& request, absl::Time deadline);

 private:
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> PoolersOf(const clustermetadata::ShardKey& shard,
                                                                      absl::Time deadline);
  absl::Status Resign(const clustermetadata::Multipooler& leader, const std::string& reason, absl::Time deadline);
  absl::Status Wish(const clustermetadata::ShardKey& shard, const clustermetadata::ID& target, absl::Time deadline);
  absl::StatusOr<std::vector<std::string>> Cells(const google::protobuf::RepeatedPtrField<std::string>& wanted,
                                                 absl::Time deadline);
  /// Reads every cell at once, each within a bound that leaves time to answer: a cell that is away must not take the
  /// others' time. What could be read, in the order of the cells.
  template <typename Record>
  absl::StatusOr<std::vector<Record>> EveryCell(
      const google::protobuf::RepeatedPtrField<std::string>& wanted, absl::Time deadline, CellErrors* errors,
      absl::StatusOr<std::vector<Record>> (topology::Topology::*list)(const std::string&, absl::Time));
  /// The pooler's manager. INVALID_ARGUMENT, NOT_FOUND, INTERNAL as the contract has them.
  absl::StatusOr<std::shared_ptr<multipoolermanager::MultipoolerManager::Stub>> Manager(const clustermetadata::ID& id,
                                                                                        absl::Time deadline);

  topology::Topology* topology_;
  const rpc::Dialer dialer_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<multipoolermanager::MultipoolerManager::Stub>> managers_;
};

/// `zone2: reason; zone3: reason`, with what may not stand in a header replaced; empty: none.
std::string ErrorsText(const CellErrors& errors);
/// `zone2,zone3`, likewise: the value of multigres-partial-cells.
std::string ErrorCells(const CellErrors& errors);

}  // namespace mg::multiadmin
