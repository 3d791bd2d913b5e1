/// Backups, carried out by poolers. Jobs are kept in memory: for a day after their end, and not over a
/// restart (then the pooler's repository says what has become of them). Any thread; blocking within the deadline.
/// Facts: adminapi section 3.4.
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
#include "components/multiadmin/cache/topology_cache.h"
#include "components/multiadmin/methods.h"
#include "multiadminservice.pb.h"

namespace grpc {
class ClientContext;
}

namespace mg::multiadmin {

class Backups {
 public:
  /// Poolers are chosen from `cache`, so that a cell whose etcd is away costs nothing. It must outlive this.
  Backups(TopologyCache* cache, rpc::Dialer dialer) : cache_(cache), dialer_(std::move(dialer)) {}
  /// Cancels the jobs that run, and waits for their ends.
  ~Backups();

  absl::StatusOr<::multiadmin::BackupResponse> Backup(const ::multiadmin::BackupRequest& request, absl::Time deadline);
  absl::StatusOr<::multiadmin::GetBackupJobStatusResponse> JobStatus(
      const ::multiadmin::GetBackupJobStatusRequest& request, absl::Time deadline);
  /// The same, once the job has ended; what it is at the deadline else.
  absl::StatusOr<::multiadmin::GetBackupJobStatusResponse> AwaitJob(
      const ::multiadmin::GetBackupJobStatusRequest& request, absl::Time deadline);
  /// How a job of this multiadmin ended, with the pooler's code: ABORTED when another backup was under way. OK before.
  absl::Status OutcomeOf(const std::string& job_id);
  /// Until a job of the database ends, or the deadline.
  void AwaitAnEnd(const std::string& database, absl::Time deadline);
  absl::StatusOr<::multiadmin::GetBackupsResponse> List(const ::multiadmin::GetBackupsRequest& request,
                                                        absl::Time deadline);
  /// These two end with the call that asks for them.
  absl::StatusOr<::multiadmin::ExpireBackupsResponse> Expire(const ::multiadmin::ExpireBackupsRequest& request,
                                                             const CallContext& call);
  absl::StatusOr<::multiadmin::VerifyBackupsResponse> Verify(const ::multiadmin::VerifyBackupsRequest& request,
                                                             const CallContext& call);
  /// Those of one table group that have not said that they end.
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> Poolers(const std::string& database,
                                                                    const std::string& table_group,
                                                                    absl::Time deadline);

 private:
  struct Job {
    ::multiadmin::GetBackupJobStatusResponse status;
    absl::Status outcome;
    absl::Time ended = absl::InfiniteFuture();
    std::unique_ptr<grpc::ClientContext> call;
    std::thread thread;
  };

  absl::StatusOr<clustermetadata::Multipooler> Choose(const std::string& database, const std::string& table_group,
                                                      bool primary, absl::Time deadline);
  absl::StatusOr<clustermetadata::Multipooler> Reader(const std::string& database, const std::string& table_group,
                                                      absl::Time deadline);
  void Run(const std::string& job_id, const clustermetadata::Multipooler& pooler,
           const ::multiadmin::BackupRequest& request);
  void ForgetOldJobs();

  TopologyCache* const cache_;
  const rpc::Dialer dialer_;
  std::mutex mutex_;                 ///< guards jobs_ and stopping_
  std::condition_variable changed_;  ///< a job has ended
  std::map<std::string, std::unique_ptr<Job>> jobs_;
  bool stopping_ = false;
};

}  // namespace mg::multiadmin
