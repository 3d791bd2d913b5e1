#include "components/multipooler/manager/manager_service.h"

#include <grpcpp/grpcpp.h>

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/rpc/proto_time.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/rpc_error.h"
#include "components/multipooler/manager/service_calls.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multipooler {
namespace {

namespace data = multipoolermanagerdata;

constexpr absl::Duration kDefaultInterval = absl::Seconds(5);
constexpr absl::Duration kListLimit = absl::Seconds(30);
constexpr absl::Duration kBackupLimit = absl::Minutes(30);
constexpr absl::Duration kExpireLimit = absl::Minutes(10);
constexpr absl::Duration kVerifyLimit = absl::Minutes(60);

using HealthStream =
    grpc::ServerReaderWriter<data::ManagerHealthStreamResponse, data::ManagerHealthStreamClientMessage>;

class ManagerService final : public multipoolermanager::MultipoolerManager::Service {
 public:
  explicit ManagerService(Manager* manager) : manager_(manager) {}

  grpc::Status Status(grpc::ServerContext* context, const data::StatusRequest*,
                      data::StatusResponse* response) override {
    *response = manager_->Status();
    // Upstream's message has no place for it.
    if (std::string segment = manager_->ArchiveFailsAt(); !segment.empty()) {
      context->AddTrailingMetadata("multigres-archive-fails-at", segment);
    }
    return grpc::Status::OK;
  }

  grpc::Status SetPostgresRestartsEnabled(grpc::ServerContext*, const data::SetPostgresRestartsEnabledRequest* request,
                                          data::SetPostgresRestartsEnabledResponse*) override {
    manager_->SetRestartsEnabled(request->enabled());
    return grpc::Status::OK;
  }

  grpc::Status ResignLeadership(grpc::ServerContext* context, const data::ResignLeadershipRequest*,
                                data::ResignLeadershipResponse* response) override {
    return Answer(manager_->ResignLeadership(Deadline(context)), response, ToRpcError);
  }

  grpc::Status WaitForLSN(grpc::ServerContext* context, const data::WaitForLSNRequest* request,
                          data::WaitForLSNResponse*) override {
    return ToRpcError(
        manager_->WaitForLsn(request->target_lsn(), absl::FromChrono(context->deadline()), Left(context)));
  }

  grpc::Status StartReplication(grpc::ServerContext* context, const data::StartReplicationRequest*,
                                data::StartReplicationResponse*) override {
    return ToRpcError(manager_->StartReplication(Deadline(context)));
  }

  grpc::Status StopReplication(grpc::ServerContext* context, const data::StopReplicationRequest* request,
                               data::StopReplicationResponse*) override {
    return ToRpcError(manager_->StopReplication(*request, Deadline(context)));
  }

  grpc::Status ReloadConfig(grpc::ServerContext* context, const data::ReloadConfigRequest* request,
                            data::ReloadConfigResponse* response) override {
    return Answer(manager_->ReloadConfig(*request, Deadline(context)), response, ToRpcError);
  }

  grpc::Status ReconcileFollowers(grpc::ServerContext*, const data::ReconcileFollowersRequest*,
                                  data::ReconcileFollowersResponse*) override {
    return grpc::Status::OK;  // has an effect only with replication slots, which this pooler does not use
  }

  grpc::Status Backup(grpc::ServerContext* context, const data::BackupRequest* request,
                      data::BackupResponse* response) override {
    return Answer(manager_->Backup(*request, Within(context, kBackupLimit)), response, ToRpcError);
  }
  grpc::Status GetBackups(grpc::ServerContext* context, const data::GetBackupsRequest* request,
                          data::GetBackupsResponse* response) override {
    return Answer(manager_->GetBackups(*request, Within(context, kListLimit)), response, ToRpcError);
  }
  grpc::Status GetBackupByJobId(grpc::ServerContext* context, const data::GetBackupByJobIdRequest* request,
                                data::GetBackupByJobIdResponse* response) override {
    return Answer(manager_->GetBackupByJobId(*request, Within(context, kListLimit)), response, ToRpcError);
  }
  grpc::Status ExpireBackups(grpc::ServerContext* context, const data::ExpireBackupsRequest* request,
                             data::ExpireBackupsResponse* response) override {
    return Answer(manager_->ExpireBackups(*request, Within(context, kExpireLimit), Left(context)), response,
                  ToRpcError);
  }
  grpc::Status VerifyBackups(grpc::ServerContext* context, const data::VerifyBackupsRequest*,
                             data::VerifyBackupsResponse* response) override {
    return Answer(manager_->VerifyBackups(Within(context, kVerifyLimit), Left(context)), response, ToRpcError);
  }

  grpc::Status ManagerHealthStream(grpc::ServerContext* context, HealthStream* stream) override {
    data::ManagerHealthStreamClientMessage message;
    if (!stream->Read(&message) || !message.has_start()) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the first message must be start");
    }
    absl::Duration interval = message.start().has_snapshot_interval()
                                  ? rpc::ToDuration(message.start().snapshot_interval())
                                  : kDefaultInterval;
    absl::Duration staleness = message.start().has_staleness_timeout()
                                   ? rpc::ToDuration(message.start().staleness_timeout())
                                   : manager_->config().staleness_timeout;
    if (interval <= absl::ZeroDuration()) {
      interval = kDefaultInterval;
    }
    data::ManagerHealthStreamResponse response;
    rpc::SetDuration(interval, response.mutable_start()->mutable_snapshot_interval());
    rpc::SetDuration(staleness, response.mutable_start()->mutable_staleness_timeout());
    if (!stream->Write(response)) {
      return grpc::Status::OK;
    }
    HealthHub& hub = manager_->health();
    bool polled = false;  // under the hub's lock, as `gone`
    bool gone = false;
    std::thread reader([&] {
      data::ManagerHealthStreamClientMessage next;
      while (stream->Read(&next)) {
        hub.Kick(&polled);
      }
      // The client has gone or sends no more; either way the writer notices the first.
      hub.Kick(&gone);
      hub.Kick(&polled);
    });
    grpc::Status status = Send(context, stream, &hub, interval, staleness, &polled, &gone);
    context->TryCancel();
    reader.join();
    return status;
  }

 private:
  static grpc::Status Send(grpc::ServerContext* context, HealthStream* stream, HealthHub* hub, absl::Duration interval,
                           absl::Duration staleness, bool* polled, bool* gone) {
    data::SnapshotTrigger trigger = data::SNAPSHOT_TRIGGER_INITIAL;
    while (!context->IsCancelled()) {
      HealthHub::Snapshot latest = hub->Latest();
      data::ManagerHealthStreamResponse response;
      data::ManagerHealthSnapshot* snapshot = response.mutable_snapshot();
      *snapshot->mutable_status() = std::move(latest.status);
      rpc::SetDuration(staleness, snapshot->mutable_timeout());
      snapshot->set_trigger(trigger);
      std::int64_t nanos = absl::ToUnixNanos(absl::Now());
      snapshot->mutable_captured_at()->set_seconds(nanos / 1000000000);
      snapshot->mutable_captured_at()->set_nanos(static_cast<int>(nanos % 1000000000));
      if (!stream->Write(response)) {
        break;
      }
      switch (hub->Wait(latest.version, polled, absl::Now() + interval)) {
        case HealthHub::Wake::kChanged:
          trigger = data::SNAPSHOT_TRIGGER_BROADCAST;
          break;
        case HealthHub::Wake::kTimeout:
          trigger = data::SNAPSHOT_TRIGGER_HEARTBEAT;
          break;
        case HealthHub::Wake::kKicked:
          hub->Clear(polled);
          if (hub->IsSet(gone)) {
            return grpc::Status::OK;
          }
          trigger = data::SNAPSHOT_TRIGGER_POLL;
          break;
        case HealthHub::Wake::kClosed:
          return grpc::Status(grpc::StatusCode::UNAVAILABLE, "this pooler is stopping");
      }
    }
    return grpc::Status::OK;
  }

  static absl::Time Deadline(grpc::ServerContext* context) { return Within(context, absl::Minutes(1)); }

  Manager* manager_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeManagerService(Manager* manager) {
  return std::make_unique<ManagerService>(manager);
}

}  // namespace mg::multipooler
