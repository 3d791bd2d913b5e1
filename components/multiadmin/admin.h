/// Upstream's part of the Admin API, without a transport. Reads come from the cache. Any thread; blocking, within the
/// deadline.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "components/multiadmin/cache/topology_cache.h"
#include "components/multiadmin/methods.h"
#include "multiadminservice.pb.h"
#include "multigres/admin/v1/shard.pb.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multiadmin {

namespace pb = ::multiadmin;

class Admin {
 public:
  /// `cache` must outlive this.
  Admin(TopologyCache* cache, rpc::Dialer dialer) : cache_(cache), dialer_(std::move(dialer)) {}

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

  absl::StatusOr<pb::GetGatewayQueriesResponse> GetGatewayQueries(const pb::GetGatewayQueriesRequest& request,
                                                                  absl::Time deadline);
  absl::StatusOr<pb::GetGatewayConsolidatorResponse> GetGatewayConsolidator(
      const pb::GetGatewayConsolidatorRequest& request, absl::Time deadline);

  /// Upstream's: the order only; whoever calls looks for the new leader.
  absl::StatusOr<pb::SwitchPrimaryResponse> SwitchPrimary(const pb::SwitchPrimaryRequest& request, absl::Time deadline);
  /// Ours: to a wished node, and waits until it serves.
  absl::StatusOr<multigres::admin::v1::SwitchPrimaryResponse> SwitchPrimaryTo(
      const multigres::admin::v1::SwitchPrimaryRequest& request, absl::Time deadline);

  /// Upstream's: a new rule on the word of somebody who certifies where the old one ended.
  absl::StatusOr<pb::ApplyCertifiedRuleChangeResponse> ApplyCertifiedRuleChange(
      const pb::ApplyCertifiedRuleChangeRequest& request, absl::Time deadline);
  /// Ours: a new rule under the quorum of the old one.
  absl::StatusOr<multigres::admin::v1::ChangeRuleResponse> ChangeRule(
      const multigres::admin::v1::ChangeRuleRequest& request, absl::Time deadline);

  /// Ours: a node out of service, and back.
  absl::StatusOr<multigres::admin::v1::DrainPoolerResponse> DrainPooler(
      const multigres::admin::v1::DrainPoolerRequest& request, absl::Time deadline);
  absl::StatusOr<multigres::admin::v1::UndrainPoolerResponse> UndrainPooler(
      const multigres::admin::v1::UndrainPoolerRequest& request, absl::Time deadline);

  /// The pooler's manager. INVALID_ARGUMENT, NOT_FOUND, INTERNAL as the contract has them.
  absl::StatusOr<std::shared_ptr<multipoolermanager::MultipoolerManager::Stub>> Manager(const clustermetadata::ID& id,
                                                                                        absl::Time deadline);

 private:
  absl::Status CheckDrain(const clustermetadata::Multipooler& pooler,
                          const std::vector<clustermetadata::Multipooler>& poolers, absl::Time deadline);
  /// Those of the leader's cell first.
  absl::StatusOr<std::vector<clustermetadata::Multiorch>> OrchsFor(const clustermetadata::ID& leader,
                                                                   absl::Time deadline);
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> PoolersOf(const clustermetadata::ShardKey& shard,
                                                                      absl::Time deadline);
  /// The only planned switch of the shard's primary through this process, until it is let go; ABORTED for a second one.
  absl::StatusOr<std::shared_ptr<void>> BeginSwitch(const clustermetadata::ShardKey& shard);
  absl::Status Resign(const clustermetadata::Multipooler& leader, const std::string& reason, absl::Time deadline);
  /// Whether a pooler's PostgreSQL streams from the primary, asked of it; FAILED_PRECONDITION when it does not.
  absl::Status Streams(const clustermetadata::Multipooler& pooler, absl::Time deadline);
  absl::Status Wish(const clustermetadata::ShardKey& shard, const clustermetadata::ID& target, absl::Time deadline);
  /// Copies the records of every wanted cell that `keep` keeps, in the order of the cells.
  template <typename Record, typename Keep>
  absl::Status EveryCell(const google::protobuf::RepeatedPtrField<std::string>& wanted, absl::Time deadline,
                         CellErrors* errors, Records<Record> CellView::*list, Keep keep,
                         google::protobuf::RepeatedPtrField<Record>* out);
  absl::StatusOr<std::shared_ptr<const clustermetadata::Multipooler>> FindPooler(const clustermetadata::ID& id,
                                                                                 absl::Time deadline);

  TopologyCache* const cache_;
  const rpc::Dialer dialer_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<multipoolermanager::MultipoolerManager::Stub>> managers_;
  std::set<std::string> switching_;  ///< shards
};

}  // namespace mg::multiadmin
