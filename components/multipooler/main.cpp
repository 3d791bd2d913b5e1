/// multipooler: looks after one PostgreSQL (manager/) and serves its connections to gateways (pool/).
#include <cstdio>
#include <memory>
#include <string>

#include <grpcpp/impl/service_type.h>

#include "common/log/log.h"
#include "common/pgwire/handoff.h"
#include "common/process/limits.h"
#include "common/servenv/servenv.h"
#include "common/topology/topology.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/manager_service.h"
#include "components/multipooler/options.h"
#include "components/multipooler/pool/pool_server.h"
#include "components/multipooler/pool/query_service.h"
#include "components/multipooler/pool/remote_endpoint.h"

int main(int argc, char** argv) {
  namespace mp = mg::multipooler;
  mg::servenv::Server server("multipooler", "Connection pool and manager of one PostgreSQL.");
  mp::Options options;
  options.AddTo(&server.flags());
  if (std::optional<int> done = server.Init(argc, argv); done.has_value()) {
    return *done;
  }
  auto fail = [](const absl::Status& status) {
    mg::log::Error("cannot start", {{"error", status}});
    std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
    return 1;
  };
  absl::StatusOr<mp::Config> config = options.ToConfig(server.hostname(), server.grpc_port());
  if (!config.ok()) {
    return fail(config.status());
  }
  if (absl::Status status = server.StartHttp(); !status.ok()) {
    return fail(status);
  }
  config->http_port = server.http_port();
  mg::RaiseFileLimit();  // two descriptors a session
  const mg::servenv::ServerFlags& tls = server.options();
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> etcd = options.etcd_tls.Load();
  absl::StatusOr<mg::rpc::Dialer> peers =
      mg::rpc::Dialer::Create({.certificate = tls.grpc_cert, .key = tls.grpc_key, .authority = tls.grpc_ca});
  if (!etcd.ok() || !peers.ok()) {
    return fail(etcd.ok() ? peers.status() : etcd.status());
  }
  config->peers = *peers;
  config->pooler_pg_port = options.pooler_pg_port;
  std::unique_ptr<mg::topology::Topology> topology =
      mg::topology::Topology::Create(options.topo_servers, options.topo_root, *etcd);
  mp::ServingState serving;
  absl::StatusOr<std::unique_ptr<mp::Manager>> manager = mp::Manager::Create(*config, topology.get(), &serving);
  if (!manager.ok()) {
    return fail(manager.status());
  }
  std::unique_ptr<grpc::Service> manager_service = mp::MakeManagerService(manager->get());
  std::unique_ptr<grpc::Service> consensus_service = mp::MakeConsensusService(manager->get());
  std::unique_ptr<grpc::Service> backup_service = mp::MakeBackupService(manager->get());
  std::unique_ptr<grpc::Service> drain_service = mp::MakeDrainService(manager->get());
  std::unique_ptr<grpc::Service> rule_service = mp::MakeRuleService(manager->get());
  server.AddService(drain_service.get(), "grpc-poolermanager", true);
  server.AddService(rule_service.get(), "grpc-consensus", true);
  server.AddService(manager_service.get(), "grpc-poolermanager", true);
  server.AddService(backup_service.get(), "grpc-poolermanager", true);
  server.AddService(consensus_service.get(), "grpc-consensus", true);
  std::unique_ptr<mp::PoolServer> pool =
      mp::PoolServer::Create({.socket_path = mg::pgwire::PoolerSocketPath(config->pooler_dir),
                              .capacity = options.global_capacity,
                              .dial_timeout = options.dial_timeout,
                              .idle_timeout = options.idle_timeout,
                              .max_lifetime = options.max_lifetime,
                              .confirm_commits = [&manager] { return (*manager)->ConfirmCommits(); }},
                             config->postgres, &serving);
  if (absl::Status status = pool->Start(); !status.ok()) {
    return fail(status);
  }
  std::unique_ptr<mp::RemoteEndpoint> remote;
  if (options.pooler_pg_port != 0) {
    remote = mp::RemoteEndpoint::Create({.address = tls.grpc_bind_address.empty() ? "127.0.0.1" : tls.grpc_bind_address,
                                         .port = options.pooler_pg_port,
                                         .certificate = tls.grpc_cert,
                                         .key = tls.grpc_key,
                                         .authority = tls.grpc_ca,
                                         .names = tls.AllowedNames(),
                                         .socket_path = mg::pgwire::PoolerSocketPath(config->pooler_dir)});
    if (absl::Status status = remote->Start(); !status.ok()) {
      return fail(status);
    }
  }
  mp::QueryService query_service(pool.get(), &serving, config->id);
  server.AddService(&query_service, "grpc-pooler", true);
  // PostgreSQL need not wait for gRPC.
  (*manager)->Start();
  server.OnRun([&] { (*manager)->Publish(); });
  server.OnTerm([&] { (*manager)->Stop(); });
  int exit_status = server.Run();
  (*manager)->Stop();
  return exit_status;
}
