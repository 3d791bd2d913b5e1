/// multigateway: the PostgreSQL endpoint of one cell.
#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/process/limits.h"
#include "common/rpc/rpc.h"
#include "common/servenv/servenv.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multigateway/flags.h"
#include "components/multigateway/gateway_server.h"
#include "components/multigateway/registration.h"
#include "components/multigateway/router.h"
#include "multigatewaymanagerservice.grpc.pb.h"
#include "multigatewayservice.grpc.pb.h"

namespace mg::multigateway {
namespace {

constexpr absl::Duration kRegistrationLimit = absl::Seconds(10);

class CancelService final : public multigatewayservice::MultigatewayService::Service {
 public:
  explicit CancelService(GatewayServer* server) : server_(server) {}
  grpc::Status CancelQuery(grpc::ServerContext*, const multigatewayservice::CancelQueryRequest* request,
                           multigatewayservice::CancelQueryResponse*) override {
    server_->Cancel(request->process_id(), request->secret_key());
    return grpc::Status::OK;
  }

 private:
  GatewayServer* server_;
};

class ManagerService final : public multigatewaymanager::MultigatewayManager::Service {
 public:
  explicit ManagerService(GatewayServer* server) : server_(server) {}
  grpc::Status GetQueryRegistry(grpc::ServerContext*, const multigatewaymanager::GetQueryRegistryRequest* request,
                                multigatewaymanager::GetQueryRegistryResponse* response) override {
    *response->mutable_snapshot() =
        server_->query_stats().Snapshot(request->limit(), request->min_calls(), absl::Now());
    return grpc::Status::OK;
  }
  grpc::Status GetConsolidatorStats(grpc::ServerContext*, const multigatewaymanager::GetConsolidatorStatsRequest*,
                                    multigatewaymanager::GetConsolidatorStatsResponse* response) override {
    *response->mutable_stats() = server_->consolidator().Snapshot();
    response->mutable_stats()->set_connection_count(static_cast<std::uint32_t>(server_->counters().sessions));
    return grpc::Status::OK;
  }

 private:
  GatewayServer* server_;
};

void ForwardCancel(topology::Topology* topology, const rpc::Dialer& dialer, std::uint32_t process_id,
                   std::uint32_t secret) {
  absl::Time deadline = absl::Now() + absl::Seconds(5);
  absl::StatusOr<clustermetadata::Multigateway> owner = FindByPrefix(topology, process_id >> 20, deadline);
  absl::StatusOr<std::string> address = owner.ok() ? topology::AddressOf(*owner, "grpc") : owner.status();
  if (!address.ok()) {
    log::Warn("a cancel could not be forwarded", {{"error", address.status()}});
    return;
  }
  auto stub = multigatewayservice::MultigatewayService::NewStub(dialer.Dial(*address));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  multigatewayservice::CancelQueryRequest request;
  request.set_process_id(process_id);
  request.set_secret_key(secret);
  multigatewayservice::CancelQueryResponse response;
  if (grpc::Status status = stub->CancelQuery(&context, request, &response); !status.ok()) {
    log::Warn("a cancel could not be forwarded", {{"error", status.error_message()}});
  }
}

int Fail(const absl::Status& status) {
  log::Error("cannot start", {{"error", status.message()}});
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Main(int argc, char** argv) {
  servenv::Server server("multigateway", "The PostgreSQL endpoint of a cell.");
  Flags flags;
  flags.AddTo(&server.flags());
  if (std::optional<int> done = server.Init(argc, argv); done.has_value()) {
    return *done;
  }
  if (absl::Status status = flags.Check(); !status.ok()) {
    return Fail(status);
  }
  RaiseFileLimit();  // two descriptors a session
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> etcd = flags.etcd_tls.Load();
  absl::StatusOr<rpc::Dialer> poolers = flags.pooler_tls.Load();
  if (!etcd.ok() || !poolers.ok()) {
    return Fail(etcd.ok() ? poolers.status() : etcd.status());
  }
  std::unique_ptr<topology::Topology> topology = topology::Topology::Create(flags.topo_servers, flags.topo_root, *etcd);
  Router router(topology.get(), flags.cell, *poolers);
  server.SetReadyCheck([&router] { return router.any(); });
  server.SetStatusPage([&] {
    return absl::StrCat("<h1>multigateway ", flags.cell, "</h1><p>", router.any() ? "ready" : "no pooler known",
                        "</p>");
  });
  if (absl::Status status = server.StartHttp(); !status.ok()) {
    return Fail(status);
  }
  clustermetadata::Multigateway record;
  record.mutable_id()->set_component(clustermetadata::ID::MULTIGATEWAY);
  record.mutable_id()->set_cell(flags.cell);
  record.mutable_id()->set_name(flags.service_id.empty() ? topology::RandomName() : flags.service_id);
  record.set_hostname(server.hostname());
  auto& ports = *record.mutable_port_map();
  ports["http"] = server.http_port();
  ports["postgres"] = flags.pg_port;
  if (server.grpc_port() != 0) {
    ports["grpc"] = server.grpc_port();
  }
  if (flags.pg_replica_port != 0) {
    ports["postgres_replica"] = flags.pg_replica_port;
  }
  if (absl::Status status = Register(topology.get(), &record, kRegistrationLimit); !status.ok()) {
    return Fail(status);
  }
  std::unique_ptr<GatewayServer> gateway =
      GatewayServer::Create({.address = flags.pg_bind_address,
                             .port = flags.pg_port,
                             .replica_port = flags.pg_replica_port,
                             .default_database = flags.default_database,
                             .pid_prefix = record.pid_prefix(),
                             .authentication_timeout = flags.authentication_timeout,
                             .primary_wait = flags.buffer_window,
                             .tls_certificate = flags.tls_cert,
                             .tls_key = flags.tls_key,
                             .require_tls = flags.require_ssl,
                             .hostname = server.hostname(),
                             .dialer = *poolers,
                             .query_stats = {.memory_bytes = static_cast<size_t>(flags.query_metrics_memory),
                                             .sql_bytes = static_cast<size_t>(flags.query_metrics_sql_max_bytes)},
                             .pooler_tls = flags.pooler_tls.tls()},
                            &router);
  gateway->forward_cancel = [&](std::uint32_t pid, std::uint32_t secret) {
    ForwardCancel(topology.get(), *poolers, pid, secret);
  };
  router.OnChange([&gateway] { gateway->RoutesChanged(); });
  router.Start();
  CancelService cancel_service(gateway.get());
  ManagerService manager_service(gateway.get());
  server.AddService(&cancel_service);
  server.AddService(&manager_service);
  absl::Status listening = gateway->Start();
  server.OnTerm([&gateway] { gateway->Stop(); });
  int status = listening.ok() ? server.Run() : Fail(listening);
  router.Stop();
  gateway.reset();
  if (absl::Status removed = topology->DeleteGateway(record.id(), absl::Now() + absl::Milliseconds(300));
      !removed.ok()) {
    log::Warn("the record stays in the topology", {{"error", removed}});
  }
  return status;
}

}  // namespace
}  // namespace mg::multigateway

int main(int argc, char** argv) { return mg::multigateway::Main(argc, argv); }
