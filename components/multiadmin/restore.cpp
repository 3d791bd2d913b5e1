// A restore: every pooler of the shard is asked whether it can, then all set their data aside; the rest they do by
// themselves.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multiadmin/backups.h"
#include "components/multiadmin/label.h"
#include "multigres/pooler/v1/backup.grpc.pb.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;
namespace pooler = multigres::pooler::v1;
using clustermetadata::Multipooler;

constexpr absl::Duration kCheckLimit = absl::Seconds(10);
constexpr absl::Duration kArchiveLimit = absl::Seconds(40);
constexpr absl::Duration kPrepareLimit = absl::Hours(12);
constexpr absl::Duration kResetLimit = absl::Seconds(90);

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string Text(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone()); }

// The newest complete backup that ended before `target`.
absl::StatusOr<std::string> NewestBefore(const ::multiadmin::GetBackupsResponse& all, absl::Time target) {
  const ::multiadmin::BackupInfo* oldest = nullptr;
  for (const ::multiadmin::BackupInfo& backup : all.backups()) {  // newest first
    if (backup.status() != ::multiadmin::BACKUP_STATUS_COMPLETE) {
      continue;
    }
    if (TimeOf(backup.stop_timestamp()) <= target) {
      return backup.backup_id();
    }
    oldest = &backup;
  }
  if (oldest == nullptr) {
    return absl::NotFoundError("there is no complete backup");
  }
  return absl::FailedPreconditionError(absl::StrCat("no backup is as old as ", Text(target), ": the oldest, ",
                                                    oldest->backup_id(), ", ended at ",
                                                    Text(TimeOf(oldest->stop_timestamp()))));
}

// Asks all at once.
template <typename Ask>
std::vector<absl::StatusOr<pooler::ResetForRestoreResponse>> All(const std::vector<Multipooler>& poolers, Ask ask) {
  std::vector<absl::StatusOr<pooler::ResetForRestoreResponse>> answers(poolers.size(), absl::UnknownError("not asked"));
  std::vector<std::thread> threads;
  threads.reserve(poolers.size());
  for (std::size_t i = 0; i < poolers.size(); ++i) {
    threads.emplace_back([&, i] { answers[i] = ask(poolers[i]); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return answers;
}

// The first pooler of the shard that `wanted` likes, as soon as its record says so.
std::optional<clustermetadata::ID> Await(topology::Topology* topology, const clustermetadata::ShardKey& shard,
                                         absl::Time deadline, const std::function<bool(const Multipooler&)>& wanted) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<clustermetadata::ID> found;
  auto watch = topology->WatchPoolers([&](const std::vector<Multipooler>& poolers) {
    std::lock_guard lock(mutex);
    for (const Multipooler& candidate : poolers) {
      if (topology::ShardKeyString(candidate.shard_key()) == topology::ShardKeyString(shard) && wanted(candidate)) {
        found = candidate.id();
      }
    }
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait_until(lock, absl::ToChronoTime(deadline), [&] { return found.has_value(); });
  lock.unlock();
  watch.reset();
  return found;
}

}  // namespace

absl::StatusOr<pooler::ResetForRestoreResponse> Backups::Reset(const Multipooler& target,
                                                               const pooler::ResetForRestoreRequest& request,
                                                               absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(target, "grpc"));
  auto stub = pooler::PoolerBackupService::NewStub(dialer_.Dial(address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  pooler::ResetForRestoreResponse response;
  MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->ResetForRestore(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::RestoreBackupResponse> Backups::Restore(const v1::RestoreBackupRequest& request,
                                                           absl::Time deadline) {
  const clustermetadata::ShardKey& shard = request.shard_key();
  if (shard.database().empty() || shard.table_group().empty() || shard.shard().empty()) {
    return absl::InvalidArgumentError("shard_key with database, table_group and shard is required");
  }
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, Poolers(shard.database(), shard.table_group(), deadline));
  if (request.has_standby()) {
    std::erase_if(poolers, [&](const Multipooler& p) { return !consensus::SameNode(p.id(), request.standby()); });
  }
  if (poolers.empty()) {
    return absl::NotFoundError(request.has_standby()
                                   ? absl::StrCat("pooler '", Label(request.standby()), "' is not one of the shard")
                                   : absl::StrCat("shard ", topology::ShardKeyString(shard), " has no poolers"));
  }
  pooler::ResetForRestoreRequest order;
  order.set_backup_id(request.backup_id());
  if (request.has_target_time()) {
    *order.mutable_target_time() = request.target_time();
  }
  absl::Time target = request.has_target_time() ? TimeOf(request.target_time()) : absl::InfiniteFuture();
  if (request.has_target_time() && target > absl::Now()) {
    return absl::InvalidArgumentError(absl::StrCat("the wished time, ", Text(target), ", is yet to come"));
  }
  order.set_standby(request.has_standby());
  order.set_check_only(true);
  if (order.backup_id().empty()) {
    ::multiadmin::GetBackupsRequest question;
    question.set_database(shard.database());
    question.set_table_group(shard.table_group());
    MG_ASSIGN_OR_RETURN(::multiadmin::GetBackupsResponse all, List(question, deadline));
    MG_ASSIGN_OR_RETURN(std::string chosen, NewestBefore(all, target));
    order.set_backup_id(chosen);
  }
  // Each of these takes nothing out of service. Whether one of the poolers did what not all of them are to do.
  std::int64_t terms_used = 0;
  auto ask_first = [&](absl::Time limit) -> absl::StatusOr<bool> {
    auto answers = All(poolers, [&](const Multipooler& p) { return Reset(p, order, limit); });
    bool done = false;
    for (std::size_t i = 0; i < poolers.size(); ++i) {
      if (!answers[i].ok()) {
        absl::StatusCode code =
            absl::IsNotFound(answers[i].status()) ? absl::StatusCode::kNotFound : absl::StatusCode::kFailedPrecondition;
        return absl::Status(code, absl::StrCat("nothing was done, the data is as before: pooler '",
                                               Label(poolers[i].id()), "': ", answers[i].status().message()));
      }
      done |= answers[i]->done();
      terms_used = std::max(terms_used, answers[i]->highest_term());
    }
    return done;
  };
  MG_RETURN_IF_ERROR(ask_first(std::min(deadline, absl::Now() + kCheckLimit)).status());
  order.set_check_only(false);
  absl::Time asked = absl::Now();
  if (!request.has_standby()) {
    order.set_archive_now(true);
    MG_ASSIGN_OR_RETURN(bool archived, ask_first(std::min(deadline, asked + kArchiveLimit)));
    if (!archived) {
      log::Warn("no pooler leads: what is in the archive has to do", {{"shard", topology::ShardKeyString(shard)}});
    }
    order.set_archive_now(false);
    order.set_prepare(true);
    MG_ASSIGN_OR_RETURN(bool prepared, ask_first(std::min(deadline, asked + kPrepareLimit)));
    if (!prepared) {
      return absl::FailedPreconditionError("nothing was done: no pooler of the shard is its seed");
    }
    order.set_prepare(false);
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError("nothing was done: the time was up before the log was replayed");
    }
  }
  order.set_terms_used(terms_used);
  log::Warn("restore begins", {{"shard", topology::ShardKeyString(shard)},
                               {"backup", order.backup_id()},
                               {"standby", request.has_standby() ? Label(request.standby()) : ""}});
  absl::Time begun = absl::Now();
  absl::Time reset = absl::Now() + kResetLimit;  // begun, it is finished, whether the caller waits or not
  auto answers = All(poolers, [&](const Multipooler& p) { return Reset(p, order, reset); });
  v1::RestoreBackupResponse response;
  response.set_backup_id(order.backup_id());
  std::string failures;
  for (std::size_t i = 0; i < poolers.size(); ++i) {
    if (!answers[i].ok()) {
      absl::StrAppend(&failures, failures.empty() ? "" : "; ", Label(poolers[i].id()), ": ",
                      answers[i].status().message());
      continue;
    }
    response.set_engine(answers[i]->engine());
    if (!answers[i]->kept_directory().empty()) {
      v1::KeptDirectory* kept = response.add_kept();
      *kept->mutable_pooler_id() = poolers[i].id();
      kept->set_path(answers[i]->kept_directory());
    }
  }
  if (!failures.empty()) {
    return absl::AbortedError(absl::StrCat("not every pooler has set its data aside; say it again: ", failures));
  }
  std::optional<clustermetadata::ID> ready = Await(topology_, shard, deadline, [&](const Multipooler& p) {
    bool serves = p.serving_status() == clustermetadata::SERVING;
    return request.has_standby() ? serves && consensus::SameNode(p.id(), request.standby())
                                 : serves && p.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY;
  });
  if (!ready.has_value()) {
    return absl::DeadlineExceededError(request.has_standby() ? "the standby does not serve yet; it goes on by itself"
                                                             : "the shard has no primary yet; it goes on by itself");
  }
  if (!request.has_standby()) {
    *response.mutable_leader_id() = *ready;
  }
  std::int64_t nanos = absl::ToInt64Nanoseconds(absl::Now() - begun);
  response.mutable_duration()->set_seconds(nanos / 1000000000);
  response.mutable_duration()->set_nanos(static_cast<std::int32_t>(nanos % 1000000000));
  return response;
}

}  // namespace mg::multiadmin
