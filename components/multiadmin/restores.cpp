#include "components/multiadmin/restores.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr char kRun[] = "/multigres.admin.v1.BackupService/RunRestore";
// How soon it is noticed that a follower has left.
constexpr absl::Duration kLook = absl::Seconds(1);

}  // namespace

Restores::~Restores() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [shard, job] : jobs_) {
      job->run->Leave();
      threads.push_back(std::move(job->thread));
    }
    changed_.notify_all();
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

absl::StatusOr<std::shared_ptr<Restores::Job>> Restores::Begin(const v1::RestoreBackupRequest& request,
                                                               absl::Time deadline) {
  const clustermetadata::ShardKey& shard = request.shard_key();
  if (shard.database().empty() || shard.table_group().empty() || shard.shard().empty()) {
    return absl::InvalidArgumentError("shard_key with database, table_group and shard is required");
  }
  std::lock_guard lock(mutex_);
  if (stopping_) {
    return absl::UnavailableError("multiadmin is stopping");
  }
  std::shared_ptr<Job>& place = jobs_[topology::ShardKeyString(shard)];
  if (place != nullptr && !place->ended) {
    return MakeError(absl::StatusCode::kAborted, "another restore of the shard is under way",
                     {.reason = "RESTORE_RUNNING", .hint = "multigres backup restore --follow shows it"});
  }
  if (place != nullptr) {
    place->thread.join();  // to say that it has ended is the last that it does
  }
  auto job = std::make_shared<Job>();
  job->run =
      std::make_unique<RestoreRun>(backups_, topology_, dialer_, request, [this, job = job.get()](const auto& s) {
        std::lock_guard news(mutex_);
        *job->news.emplace_back().mutable_step() = s;
        changed_.notify_all();
      });
  job->thread = std::thread([this, job = job.get(), deadline] {
    absl::StatusOr<v1::RestoreBackupResponse> result = job->run->Act(deadline);
    std::lock_guard news(mutex_);
    if (result.ok()) {
      *job->news.emplace_back().mutable_result() = *std::move(result);
    } else {
      job->outcome = result.status();
    }
    job->ended = true;
    changed_.notify_all();
  });
  place = job;
  return job;
}

absl::StatusOr<std::shared_ptr<Restores::Job>> Restores::Find(const clustermetadata::ShardKey& shard) {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(topology::ShardKeyString(shard));
  if (found == jobs_.end() || found->second == nullptr) {
    return MakeError(absl::StatusCode::kNotFound,
                     absl::StrCat("this Admin API has begun no restore of ", topology::ShardKeyString(shard)),
                     {.reason = "RESTORE_NOT_FOUND", .hint = "multigres status shows how the database is"});
  }
  return found->second;
}

absl::Status Restores::Follow(const std::shared_ptr<Job>& job, absl::Time deadline, const std::function<bool()>& left,
                              const Listener& listener) {
  std::size_t next = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait_until(lock, absl::ToChronoTime(std::min(deadline, absl::Now() + kLook)),
                        [&] { return stopping_ || job->ended || next < job->news.size(); });
    while (next < job->news.size()) {
      v1::RunRestoreResponse news = job->news[next++];
      lock.unlock();
      if (!listener(news)) {
        return absl::CancelledError("the caller has left; the restore goes on");
      }
      lock.lock();
    }
    if (job->ended && next == job->news.size()) {
      return job->outcome;
    }
    if (stopping_) {
      return absl::UnavailableError("multiadmin is stopping");
    }
    if (left()) {
      return absl::CancelledError("the caller has left; the restore goes on");
    }
    if (absl::Now() >= deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "the restore takes longer than the time given; it goes on",
                       {.reason = "RESTORE_GOES_ON", .hint = "multigres backup restore --follow shows it"});
    }
  }
}

absl::Status Restores::Run(const v1::RunRestoreRequest& request, absl::Time deadline, const std::function<bool()>& left,
                           const Listener& listener) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<Job> job,
                      request.follow() ? Find(request.restore().shard_key()) : Begin(request.restore(), deadline));
  return Follow(job, deadline, left, listener);
}

absl::StatusOr<v1::RestoreBackupResponse> Restores::Restore(const v1::RestoreBackupRequest& request,
                                                            absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<Job> job, Begin(request, deadline));
  v1::RestoreBackupResponse response;
  MG_RETURN_IF_ERROR(Follow(
      job, deadline, [] { return false; },
      [&](const v1::RunRestoreResponse& news) {
        response = news.result();
        return true;
      }));
  return response;
}

absl::StatusOr<v1::CancelRestoreResponse> Restores::Cancel(const v1::CancelRestoreRequest& request) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<Job> job, Find(request.shard_key()));
  bool ended = false;
  {
    std::lock_guard lock(mutex_);
    ended = job->ended;
  }
  if (ended || !job->run->Cancel()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     ended ? "the restore has ended" : "the former data is out of service already; the restore goes on",
                     {.reason = "RESTORE_GOES_ON", .hint = "multigres backup restore --follow shows it"});
  }
  return v1::CancelRestoreResponse();
}

RestoreGrpcService::RestoreGrpcService(const Methods* methods, Restores* restores)
    : GrpcService("multigres.admin.v1.BackupService", methods) {
  using Handler =
      grpc::internal::ServerStreamingHandler<RestoreGrpcService, v1::RunRestoreRequest, v1::RunRestoreResponse>;
  AddMethod(new grpc::internal::RpcServiceMethod(
      kRun, grpc::internal::RpcMethod::SERVER_STREAMING,
      new Handler(
          [methods, restores](RestoreGrpcService*, grpc::ServerContext* context, const v1::RunRestoreRequest* request,
                              grpc::ServerWriter<v1::RunRestoreResponse>* writer) {
            return ServeStream(*methods, kRun, *context, *request, [&](absl::Time deadline) {
              return restores->Run(
                  *request, deadline, [&] { return context->IsCancelled(); },
                  [&](const auto& news) { return writer->Write(news); });
            });
          },
          this)));
}

}  // namespace mg::multiadmin
