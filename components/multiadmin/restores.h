/// The restores of this Admin API, one at a time for each shard: begun by one caller, followed by any number, called
/// off as long as the former data still serves. The last one of each shard is remembered until multiadmin ends. Any
/// thread.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "common/topology/topology.h"
#include "components/multiadmin/backups.h"
#include "components/multiadmin/grpc_service.h"
#include "components/multiadmin/restore_run.h"
#include "multigres/admin/v1/backup.pb.h"

namespace mg::multiadmin {

class Restores {
 public:
  /// Takes one news; false: nobody listens any more.
  using Listener = std::function<bool(const multigres::admin::v1::RunRestoreResponse&)>;

  /// Both must outlive it.
  Restores(Backups* backups, topology::Topology* topology, rpc::Dialer dialer)
      : backups_(backups), topology_(topology), dialer_(std::move(dialer)) {}
  /// Calls off what can be, and leaves the rest to the poolers.
  ~Restores();

  /// Begins one and waits for its end, or until the deadline.
  absl::StatusOr<multigres::admin::v1::RestoreBackupResponse> Restore(
      const multigres::admin::v1::RestoreBackupRequest& request, absl::Time deadline);
  /// The same, or joins one, with all its news from the first on. Returns when it has ended, at the deadline, or soon
  /// after the listener has left (`left`).
  absl::Status Run(const multigres::admin::v1::RunRestoreRequest& request, absl::Time deadline,
                   const std::function<bool()>& left, const Listener& listener);
  absl::StatusOr<multigres::admin::v1::CancelRestoreResponse> Cancel(
      const multigres::admin::v1::CancelRestoreRequest& request);

 private:
  struct Job {
    std::unique_ptr<RestoreRun> run;
    std::vector<multigres::admin::v1::RunRestoreResponse> news;  ///< the result is its last
    bool ended = false;
    absl::Status outcome;
    std::thread thread;
  };

  absl::StatusOr<std::shared_ptr<Job>> Begin(const multigres::admin::v1::RestoreBackupRequest& request,
                                             absl::Time deadline);
  absl::StatusOr<std::shared_ptr<Job>> Find(const clustermetadata::ShardKey& shard);
  absl::Status Follow(const std::shared_ptr<Job>& job, absl::Time deadline, const std::function<bool()>& left,
                      const Listener& listener);

  Backups* const backups_;
  topology::Topology* const topology_;
  const rpc::Dialer dialer_;
  std::mutex mutex_;  ///< guards all below, and what the jobs have but for their runs
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;  ///< by shard
  bool stopping_ = false;
};

/// BackupService over gRPC, its stream included. Both must outlive it.
class RestoreGrpcService final : public GrpcService {
 public:
  RestoreGrpcService(const Methods* methods, Restores* restores);
};

}  // namespace mg::multiadmin
