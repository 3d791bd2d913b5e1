/// One restore: every pooler of the shard is asked whether it can, the archive is completed, the seed recovers the
/// backup beside the present data; then all set their data aside, and the rest they do by themselves.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "common/topology/topology.h"
#include "components/multiadmin/backups.h"
#include "multigres/admin/v1/backup.pb.h"
#include "multigres/pooler/v1/backup.pb.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::multiadmin {

class RestoreRun {
 public:
  using News = std::function<void(const multigres::provisioner::v1::StepProgress&)>;

  /// The first two must outlive it. `news` is called on Act's thread.
  RestoreRun(Backups* backups, topology::Topology* topology, rpc::Dialer dialer,
             multigres::admin::v1::RestoreBackupRequest request, News news)
      : backups_(backups),
        topology_(topology),
        dialer_(std::move(dialer)),
        request_(std::move(request)),
        news_(std::move(news)) {}

  /// Does it, once. What serves is replaced only when all that can be tried beforehand was done by `deadline`; what was
  /// begun then is followed to its end. CANCELLED, FAILED_PRECONDITION, NOT_FOUND, DEADLINE_EXCEEDED: nothing was done.
  /// ABORTED: not all poolers could begin, or the new data failed and the former was put back.
  absl::StatusOr<multigres::admin::v1::RestoreBackupResponse> Act(absl::Time deadline);
  /// Calls it off. False: it is too late. Any thread, as the next.
  bool Cancel();
  /// Act returns soon; the poolers go on with what was begun.
  void Leave();

 private:
  using Order = multigres::pooler::v1::ResetForRestoreRequest;
  using Answer = absl::StatusOr<multigres::pooler::v1::ResetForRestoreResponse>;

  absl::Status Step(const std::string& id, const std::string& detail,
                    const std::function<absl::Status(std::string* detail, bool* skipped)>& act);
  Answer Reset(const clustermetadata::Multipooler& target, const Order& order, absl::Time deadline);
  std::vector<Answer> AskAll(const Order& order, absl::Time deadline);
  absl::StatusOr<std::optional<std::size_t>> AskFirst(const Order& order, absl::Time deadline);
  absl::Status Choose(Order* order, absl::Time deadline);
  absl::Status Prepare(Order order, absl::Time deadline);
  absl::Status SetAside(const Order& order);
  absl::StatusOr<multigres::pooler::v1::GetRestoreOutcomeResponse> AwaitOutcome(const std::string& restore_id);
  absl::Status PutBack(const multigres::pooler::v1::GetRestoreOutcomeResponse& outcome);
  absl::StatusOr<clustermetadata::ID> AwaitServing(absl::Duration limit);
  absl::Status Gone();
  template <typename Call>
  absl::Status Ask(absl::Time deadline, Call call);

  Backups* const backups_;
  topology::Topology* const topology_;
  const rpc::Dialer dialer_;
  const multigres::admin::v1::RestoreBackupRequest request_;
  const News news_;
  std::vector<clustermetadata::Multipooler> poolers_;
  std::size_t decider_ = 0;      ///< who decides how it ends: the seed, or the standby
  bool leads_back_ = false;      ///< the backup that was named is of a timeline that a restore has left
  std::string archived_lsn_;     ///< that the archive leads to; empty: not known
  std::int64_t terms_used_ = 0;  ///< the highest that any of the poolers knows of
  multigres::admin::v1::RestoreBackupResponse response_;

  std::mutex mutex_;  ///< guards the rest
  std::condition_variable changed_;
  std::set<grpc::ClientContext*> calls_;
  bool begun_ = false, cancelled_ = false, left_ = false;
};

}  // namespace mg::multiadmin
