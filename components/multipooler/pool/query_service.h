/// multipoolerservice.MultipoolerService: what a gateway asks of a pooler beside SQL. The query calls of upstream's
/// gateway are not served: built-in gateways speak the PostgreSQL protocol to the pool.
#pragma once

#include <condition_variable>
#include <mutex>

#include "clustermetadata.pb.h"
#include "components/multipooler/manager/serving_state.h"
#include "components/multipooler/pool/pool_server.h"
#include "multipoolerservice.grpc.pb.h"

namespace mg::multipooler {

class QueryService final : public multipoolerservice::MultipoolerService::Service {
 public:
  /// All must outlive the service.
  QueryService(PoolServer* pool, ServingState* serving, clustermetadata::ID id);
  ~QueryService() override;

  grpc::Status GetAuthCredentials(grpc::ServerContext* context,
                                  const multipoolerservice::GetAuthCredentialsRequest* request,
                                  multipoolerservice::GetAuthCredentialsResponse* response) override;
  grpc::Status StreamPoolerHealth(grpc::ServerContext* context,
                                  const multipoolerservice::StreamPoolerHealthRequest* request,
                                  grpc::ServerWriter<multipoolerservice::StreamPoolerHealthResponse>* writer) override;

  // Upstream's query calls: UNIMPLEMENTED, with the reason.
  grpc::Status ExecuteQuery(grpc::ServerContext*, const multipoolerservice::ExecuteQueryRequest*,
                            multipoolerservice::ExecuteQueryResponse*) override;
  grpc::Status StreamExecute(grpc::ServerContext*, const multipoolerservice::StreamExecuteRequest*,
                             grpc::ServerWriter<multipoolerservice::StreamExecuteResponse>*) override;
  grpc::Status PortalStreamExecute(grpc::ServerContext*, const multipoolerservice::PortalStreamExecuteRequest*,
                                   grpc::ServerWriter<multipoolerservice::PortalStreamExecuteResponse>*) override;
  grpc::Status Describe(grpc::ServerContext*, const multipoolerservice::DescribeRequest*,
                        multipoolerservice::DescribeResponse*) override;
  grpc::Status CopyBidiExecute(grpc::ServerContext*,
                               grpc::ServerReaderWriter<multipoolerservice::CopyBidiExecuteResponse,
                                                        multipoolerservice::CopyBidiExecuteRequest>*) override;
  grpc::Status StreamReplication(grpc::ServerContext*,
                                 grpc::ServerReaderWriter<multipoolerservice::StreamReplicationResponse,
                                                          multipoolerservice::StreamReplicationRequest>*) override;
  grpc::Status ConcludeTransaction(grpc::ServerContext*, const multipoolerservice::ConcludeTransactionRequest*,
                                   multipoolerservice::ConcludeTransactionResponse*) override;
  grpc::Status DiscardTempTables(grpc::ServerContext*, const multipoolerservice::DiscardTempTablesRequest*,
                                 multipoolerservice::DiscardTempTablesResponse*) override;
  grpc::Status ReleaseReservedConnection(grpc::ServerContext*,
                                         const multipoolerservice::ReleaseReservedConnectionRequest*,
                                         multipoolerservice::ReleaseReservedConnectionResponse*) override;
  grpc::Status NotificationStream(grpc::ServerContext*,
                                  grpc::ServerReaderWriter<multipoolerservice::NotificationStreamResponse,
                                                           multipoolerservice::NotificationStreamRequest>*) override;

 private:
  PoolServer* pool_;
  clustermetadata::ID id_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Serving serving_;
  std::int64_t version_ = 0;
  std::unique_ptr<ServingState::Subscription> subscription_;
};

}  // namespace mg::multipooler
