#include "components/multiadmin/backups.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multiadmin/label.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multiadmin {
namespace {

namespace pb = ::multiadmin;
namespace data = multipoolermanagerdata;
using clustermetadata::Multipooler;
using Stub = multipoolermanager::MultipoolerManager::Stub;

constexpr absl::Duration kKeepJobs = absl::Hours(24);
constexpr absl::Duration kBackupLimit = absl::Minutes(30);

bool Leads(const Multipooler& pooler) { return pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY; }

absl::StatusOr<std::unique_ptr<Stub>> Manager(const rpc::Dialer& dialer, const Multipooler& pooler) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(pooler, "grpc"));
  return multipoolermanager::MultipoolerManager::NewStub(dialer.Dial(address));
}

absl::Status Required(absl::string_view name, const std::string& value) {
  return value.empty() ? absl::InvalidArgumentError(absl::StrCat(name, " is required")) : absl::OkStatus();
}

absl::Status FromPooler(const Multipooler& pooler, const grpc::Status& called) {
  bool known = called.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
               called.error_code() == grpc::StatusCode::ABORTED || called.error_code() == grpc::StatusCode::CANCELLED ||
               called.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  absl::Status told = WithContext(rpc::FromGrpc(called), absl::StrCat("pooler '", Label(pooler.id()), "'"));
  // One that says its reason has chosen its code; of the others only few mean to the caller what they mean here.
  return known || DetailOf(told).has_value() ? told : absl::InternalError(told.message());
}

pb::BackupInfo InfoOf(const data::BackupMetadata& backup, const std::string& database) {
  pb::BackupInfo info;
  info.set_backup_id(backup.backup_id());
  info.set_database(database);
  info.set_table_group(backup.table_group());
  info.set_shard(backup.shard());
  info.set_type(backup.type());
  info.set_status(backup.status() == data::BackupMetadata::COMPLETE     ? pb::BACKUP_STATUS_COMPLETE
                  : backup.status() == data::BackupMetadata::INCOMPLETE ? pb::BACKUP_STATUS_INCOMPLETE
                                                                        : pb::BACKUP_STATUS_UNKNOWN);
  info.set_backup_size_bytes(backup.backup_size_bytes());
  info.set_multipooler_service_id(backup.multipooler_id());
  info.set_routing_role(backup.routing_role());
  info.set_start_lsn(backup.start_lsn());
  info.set_stop_lsn(backup.stop_lsn());
  info.set_pg_version(backup.pg_version());
  if (backup.has_start_timestamp()) {
    *info.mutable_start_timestamp() = backup.start_timestamp();
  }
  if (backup.has_stop_timestamp()) {
    *info.mutable_stop_timestamp() = backup.stop_timestamp();
  }
  info.set_job_id(backup.job_id());
  return info;
}

}  // namespace

Backups::~Backups() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    for (auto& [id, job] : jobs_) {
      if (job->call != nullptr) {
        job->call->TryCancel();
      }
      threads.push_back(std::move(job->thread));
    }
  }
  for (std::thread& thread : threads) {
    if (thread.joinable()) {
      thread.join();
    }
  }
}

absl::StatusOr<std::vector<Multipooler>> Backups::Poolers(const std::string& database, const std::string& table_group,
                                                          absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  std::vector<Multipooler> poolers;
  for (const auto& [name, cell] : view->cells) {
    for (const auto& pooler : cell.poolers) {
      if (pooler->shard_key().database() == database && pooler->shard_key().table_group() == table_group &&
          pooler->lifecycle_status().status() != clustermetadata::LIFECYCLE_SHUTDOWN) {
        poolers.push_back(*pooler);
      }
    }
  }
  return poolers;
}

absl::StatusOr<Multipooler> Backups::Choose(const std::string& database, const std::string& table_group, bool primary,
                                            absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, Poolers(database, table_group, deadline));
  const Multipooler* chosen = nullptr;
  for (const Multipooler& pooler : poolers) {
    if (pooler.serving_status() != clustermetadata::SERVING || Leads(pooler) != primary) {
      continue;
    }
    bool better = chosen == nullptr ||
                  (primary && consensus::Compare(pooler.routing_state().rule(), chosen->routing_state().rule()) > 0);
    chosen = better ? &pooler : chosen;
  }
  if (chosen == nullptr) {
    return absl::NotFoundError(absl::StrCat("database '", database, "', table group '", table_group,
                                            "' has no serving ", primary ? "primary" : "standby"));
  }
  return *chosen;
}

// Any of them can read the repository; one that serves as a standby has the least to do.
absl::StatusOr<Multipooler> Backups::Reader(const std::string& database, const std::string& table_group,
                                            absl::Time deadline) {
  MG_RETURN_IF_ERROR(Required("database", database));
  MG_RETURN_IF_ERROR(Required("table_group", table_group));
  absl::StatusOr<Multipooler> standby = Choose(database, table_group, false, deadline);
  if (standby.ok() || !absl::IsNotFound(standby.status())) {
    return standby;
  }
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers, Poolers(database, table_group, deadline));
  if (poolers.empty()) {
    return absl::NotFoundError(
        absl::StrCat("database '", database, "', table group '", table_group, "' has no pooler"));
  }
  return poolers.front();
}

absl::StatusOr<pb::BackupResponse> Backups::Backup(const pb::BackupRequest& request, absl::Time deadline) {
  absl::StatusOr<Multipooler> pooler =
      Choose(request.database(), request.table_group(), request.force_primary(), deadline);
  if (absl::IsUnavailable(pooler.status())) {
    return pooler.status();  // whether there is one is not known
  }
  if (!pooler.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("failed to find pooler: ", pooler.status().message()));
  }
  std::string job_id = absl::StrCat(absl::FormatTime("%Y%m%d-%H%M%E6S", absl::Now(), absl::LocalTimeZone()), "_",
                                    topology::IdString(pooler->id()));
  std::lock_guard lock(mutex_);
  if (stopping_) {
    return absl::UnavailableError("multiadmin is stopping");
  }
  ForgetOldJobs();
  auto job = std::make_unique<Job>();
  job->status.set_job_id(job_id);
  job->status.set_job_type(pb::JOB_TYPE_BACKUP);
  job->status.set_status(pb::JOB_STATUS_PENDING);
  job->status.set_database(request.database());
  job->status.set_table_group(request.table_group());
  job->status.set_shard(request.shard());
  job->call = std::make_unique<grpc::ClientContext>();
  rpc::SetDeadline(job->call.get(), absl::Now() + kBackupLimit);
  Job* kept = job.get();
  jobs_[job_id] = std::move(job);
  kept->thread = std::thread([this, job_id, pooler = *pooler, request] { Run(job_id, pooler, request); });
  pb::BackupResponse response;
  response.set_job_id(job_id);
  return response;
}

void Backups::Run(const std::string& job_id, const Multipooler& pooler, const pb::BackupRequest& request) {
  grpc::ClientContext* call = nullptr;
  {
    std::lock_guard lock(mutex_);
    Job& job = *jobs_.at(job_id);
    job.status.set_status(pb::JOB_STATUS_RUNNING);
    call = job.call.get();
  }
  data::BackupRequest forwarded;
  forwarded.set_type(request.type());
  forwarded.set_force_primary(request.force_primary());
  forwarded.set_job_id(job_id);
  data::BackupResponse response;
  absl::StatusOr<std::unique_ptr<Stub>> manager = Manager(dialer_, pooler);
  absl::Status status = manager.status();
  if (manager.ok()) {
    grpc::Status called = (*manager)->Backup(call, forwarded, &response);
    status = called.ok() ? absl::OkStatus() : FromPooler(pooler, called);
  }
  log::Info("backup job ended", {{"job", job_id}, {"backup", response.backup_id()}, {"status", status}});
  std::lock_guard lock(mutex_);
  Job& job = *jobs_.at(job_id);
  job.status.set_status(status.ok() ? pb::JOB_STATUS_COMPLETED : pb::JOB_STATUS_FAILED);
  job.status.set_backup_id(response.backup_id());
  job.outcome = status;
  job.status.set_error_message(status.ok() ? "" : std::string(status.message()));
  job.ended = absl::Now();
  changed_.notify_all();
}

absl::StatusOr<pb::GetBackupJobStatusResponse> Backups::AwaitJob(const pb::GetBackupJobStatusRequest& request,
                                                                 absl::Time deadline) {
  {
    std::unique_lock lock(mutex_);
    auto ended = [&] {
      auto found = jobs_.find(request.job_id());
      return stopping_ || found == jobs_.end() || found->second->ended < absl::InfiniteFuture();
    };
    changed_.wait_until(lock, absl::ToChronoTime(deadline), ended);
    if (stopping_) {
      return absl::UnavailableError("multiadmin is stopping");
    }
  }
  return JobStatus(request, deadline);
}

absl::Status Backups::OutcomeOf(const std::string& job_id) {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(job_id);
  return found == jobs_.end() ? absl::OkStatus() : found->second->outcome;
}

void Backups::AwaitAnEnd(const std::string& database, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  auto running = [&] {
    return std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& job) {
      return job.second->status.database() == database && job.second->ended == absl::InfiniteFuture();
    });
  };
  changed_.wait_until(lock, absl::ToChronoTime(deadline),
                      [&, before = running()] { return stopping_ || running() < before; });
}

void Backups::ForgetOldJobs() {
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    if (absl::Now() - it->second->ended > kKeepJobs) {
      it->second->thread.join();  // it has set `ended`, which is the last that it does
      it = jobs_.erase(it);
    } else {
      ++it;
    }
  }
}

absl::StatusOr<pb::GetBackupJobStatusResponse> Backups::JobStatus(const pb::GetBackupJobStatusRequest& request,
                                                                  absl::Time deadline) {
  MG_RETURN_IF_ERROR(Required("job_id", request.job_id()));
  {
    std::lock_guard lock(mutex_);
    auto found = jobs_.find(request.job_id());
    if (found != jobs_.end()) {
      return found->second->status;
    }
  }
  auto unknown = [&](absl::string_view why) {
    return MakeError(absl::StatusCode::kNotFound,
                     absl::StrCat("job '", request.job_id(), "' not found", why.empty() ? "" : ": ", why),
                     {.reason = "UNKNOWN_JOB"});
  };
  if (request.database().empty() || request.table_group().empty()) {
    return unknown("");
  }
  absl::StatusOr<Multipooler> pooler = Reader(request.database(), request.table_group(), deadline);
  absl::StatusOr<std::unique_ptr<Stub>> manager = pooler.ok() ? Manager(dialer_, *pooler) : pooler.status();
  if (!manager.ok()) {
    return unknown(manager.status().message());
  }
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  data::GetBackupByJobIdRequest question;
  question.set_job_id(request.job_id());
  data::GetBackupByJobIdResponse answer;
  if (grpc::Status called = (*manager)->GetBackupByJobId(&context, question, &answer); !called.ok()) {
    return unknown(called.error_code() == grpc::StatusCode::NOT_FOUND ? "" : called.error_message());
  }
  if (!answer.has_backup()) {
    return unknown("");
  }
  pb::GetBackupJobStatusResponse response;
  response.set_job_id(request.job_id());
  response.set_job_type(pb::JOB_TYPE_BACKUP);
  response.set_database(request.database());
  response.set_table_group(request.table_group());
  response.set_shard(request.shard());
  response.set_backup_id(answer.backup().backup_id());
  response.set_status(answer.backup().status() == data::BackupMetadata::COMPLETE     ? pb::JOB_STATUS_COMPLETED
                      : answer.backup().status() == data::BackupMetadata::INCOMPLETE ? pb::JOB_STATUS_FAILED
                                                                                     : pb::JOB_STATUS_UNKNOWN);
  return response;
}

absl::StatusOr<pb::GetBackupsResponse> Backups::List(const pb::GetBackupsRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Multipooler pooler, Reader(request.database(), request.table_group(), deadline));
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Stub> manager, Manager(dialer_, pooler));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  data::GetBackupsRequest question;
  question.set_limit(request.limit());
  data::GetBackupsResponse answer;
  if (grpc::Status called = manager->GetBackups(&context, question, &answer); !called.ok()) {
    return FromPooler(pooler, called);
  }
  pb::GetBackupsResponse response;
  for (const data::BackupMetadata& backup : answer.backups()) {
    *response.add_backups() = InfoOf(backup, request.database());
  }
  return response;
}

namespace {

/// For a call that is part of another one: it ends when that one is cancelled.
std::unique_ptr<grpc::ClientContext> ContextWithin(const CallContext& call) {
  std::unique_ptr<grpc::ClientContext> context =
      call.rpc == nullptr ? std::make_unique<grpc::ClientContext>() : grpc::ClientContext::FromServerContext(*call.rpc);
  rpc::SetDeadline(context.get(), call.deadline);
  return context;
}

}  // namespace

absl::StatusOr<pb::ExpireBackupsResponse> Backups::Expire(const pb::ExpireBackupsRequest& request,
                                                          const CallContext& call) {
  MG_ASSIGN_OR_RETURN(Multipooler pooler, Reader(request.database(), request.table_group(), call.deadline));
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Stub> manager, Manager(dialer_, pooler));
  std::unique_ptr<grpc::ClientContext> context = ContextWithin(call);
  data::ExpireBackupsRequest order;
  *order.mutable_overrides() = request.overrides();
  data::ExpireBackupsResponse answer;
  if (grpc::Status called = manager->ExpireBackups(context.get(), order, &answer); !called.ok()) {
    return FromPooler(pooler, called);
  }
  pb::ExpireBackupsResponse response;
  *response.mutable_expired_backup_ids() = answer.expired_backup_ids();
  return response;
}

absl::StatusOr<pb::VerifyBackupsResponse> Backups::Verify(const pb::VerifyBackupsRequest& request,
                                                          const CallContext& call) {
  MG_RETURN_IF_ERROR(Required("shard", request.shard()));
  MG_ASSIGN_OR_RETURN(Multipooler pooler, Reader(request.database(), request.table_group(), call.deadline));
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Stub> manager, Manager(dialer_, pooler));
  std::unique_ptr<grpc::ClientContext> context = ContextWithin(call);
  data::VerifyBackupsResponse answer;
  if (grpc::Status called = manager->VerifyBackups(context.get(), {}, &answer); !called.ok()) {
    return FromPooler(pooler, called);
  }
  pb::VerifyBackupsResponse response;
  *response.mutable_duration() = answer.duration();
  response.set_raw_output(answer.raw_output());
  return response;
}

}  // namespace mg::multiadmin
