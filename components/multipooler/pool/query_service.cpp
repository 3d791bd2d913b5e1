#include "components/multipooler/pool/query_service.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kLookLimit = absl::Seconds(5);
// Often, because a gateway takes no sessions as long as it believes in a pooler that is frozen or cut off.
constexpr auto kHeartbeat = std::chrono::seconds(1);
constexpr int kStalenessSeconds = 3;
constexpr auto kCancelLook = std::chrono::milliseconds(100);

grpc::Status NotServed(const char* call) {
  return {
      grpc::StatusCode::UNIMPLEMENTED,
      absl::StrCat(call, " is not served by this pooler: its gateways speak the PostgreSQL protocol to its socket")};
}

}  // namespace

QueryService::QueryService(PoolServer* pool, ServingState* serving, clustermetadata::ID id)
    : pool_(pool), id_(std::move(id)) {
  subscription_ = serving->Subscribe([this](const Serving& now) {
    std::lock_guard lock(mutex_);
    serving_ = now;
    ++version_;
    changed_.notify_all();
  });
}

QueryService::~QueryService() = default;

grpc::Status QueryService::GetAuthCredentials(grpc::ServerContext* context,
                                              const multipoolerservice::GetAuthCredentialsRequest* request,
                                              multipoolerservice::GetAuthCredentialsResponse* response) {
  absl::Time deadline = std::min(absl::FromChrono(context->deadline()), absl::Now() + kLookLimit);
  absl::StatusOr<RoleState> role = pool_->Look(request->username(), request->database(), deadline);
  if (!role.ok()) {
    return {grpc::StatusCode::UNAVAILABLE, std::string(role.status().message())};
  }
  if (!role->exists) {
    return {grpc::StatusCode::NOT_FOUND, absl::StrCat("role \"", request->username(), "\" does not exist")};
  }
  response->set_scram_hash(role->verifier);
  response->set_is_replication_role(role->replication);
  return grpc::Status::OK;
}

grpc::Status QueryService::StreamPoolerHealth(
    grpc::ServerContext* context, const multipoolerservice::StreamPoolerHealthRequest*,
    grpc::ServerWriter<multipoolerservice::StreamPoolerHealthResponse>* writer) {
  std::int64_t seen = -1;
  auto last = std::chrono::steady_clock::now();
  while (!context->IsCancelled()) {
    multipoolerservice::StreamPoolerHealthResponse response;
    {
      std::unique_lock lock(mutex_);
      bool news = changed_.wait_for(lock, kCancelLook, [&] { return version_ != seen; });
      if (!news && std::chrono::steady_clock::now() - last < kHeartbeat) {
        continue;
      }
      seen = version_;
      bool primary = serving_.mode == ServingMode::kReadWrite;
      response.set_serving_status(serving_.mode == ServingMode::kNone ? clustermetadata::DISABLED
                                  : serving_.draining                 ? clustermetadata::DRAINING
                                                                      : clustermetadata::SERVING);
      response.mutable_routing_state()->set_role(primary ? clustermetadata::ROUTING_ROLE_PRIMARY
                                                         : clustermetadata::ROUTING_ROLE_REPLICA);
      if (primary) {
        response.mutable_routing_state()->mutable_rule()->set_coordinator_term(serving_.coordinator_term);
        response.mutable_routing_state()->mutable_rule()->set_leader_subterm(serving_.leader_subterm);
      }
    }
    *response.mutable_pooler_id() = id_;
    response.mutable_recommended_staleness_timeout()->set_seconds(kStalenessSeconds);
    if (!writer->Write(response)) {
      break;
    }
    last = std::chrono::steady_clock::now();
  }
  return grpc::Status::OK;
}

grpc::Status QueryService::ExecuteQuery(grpc::ServerContext*, const multipoolerservice::ExecuteQueryRequest*,
                                        multipoolerservice::ExecuteQueryResponse*) {
  return NotServed("ExecuteQuery");
}

grpc::Status QueryService::StreamExecute(grpc::ServerContext*, const multipoolerservice::StreamExecuteRequest*,
                                         grpc::ServerWriter<multipoolerservice::StreamExecuteResponse>*) {
  return NotServed("StreamExecute");
}

grpc::Status QueryService::PortalStreamExecute(grpc::ServerContext*,
                                               const multipoolerservice::PortalStreamExecuteRequest*,
                                               grpc::ServerWriter<multipoolerservice::PortalStreamExecuteResponse>*) {
  return NotServed("PortalStreamExecute");
}

grpc::Status QueryService::Describe(grpc::ServerContext*, const multipoolerservice::DescribeRequest*,
                                    multipoolerservice::DescribeResponse*) {
  return NotServed("Describe");
}

grpc::Status QueryService::CopyBidiExecute(grpc::ServerContext*,
                                           grpc::ServerReaderWriter<multipoolerservice::CopyBidiExecuteResponse,
                                                                    multipoolerservice::CopyBidiExecuteRequest>*) {
  return NotServed("CopyBidiExecute");
}

grpc::Status QueryService::StreamReplication(grpc::ServerContext*,
                                             grpc::ServerReaderWriter<multipoolerservice::StreamReplicationResponse,
                                                                      multipoolerservice::StreamReplicationRequest>*) {
  return NotServed("StreamReplication");
}

grpc::Status QueryService::ConcludeTransaction(grpc::ServerContext*,
                                               const multipoolerservice::ConcludeTransactionRequest*,
                                               multipoolerservice::ConcludeTransactionResponse*) {
  return NotServed("ConcludeTransaction");
}

grpc::Status QueryService::DiscardTempTables(grpc::ServerContext*, const multipoolerservice::DiscardTempTablesRequest*,
                                             multipoolerservice::DiscardTempTablesResponse*) {
  return NotServed("DiscardTempTables");
}

grpc::Status QueryService::ReleaseReservedConnection(grpc::ServerContext*,
                                                     const multipoolerservice::ReleaseReservedConnectionRequest*,
                                                     multipoolerservice::ReleaseReservedConnectionResponse*) {
  return NotServed("ReleaseReservedConnection");
}

grpc::Status QueryService::NotificationStream(
    grpc::ServerContext*, grpc::ServerReaderWriter<multipoolerservice::NotificationStreamResponse,
                                                   multipoolerservice::NotificationStreamRequest>*) {
  return NotServed("NotificationStream");
}

}  // namespace mg::multipooler
