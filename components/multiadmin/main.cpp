/// multiadmin: the Admin API. A reader of the topology; registers nothing.
#include <grpcpp/impl/service_type.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/servenv/client_tls_flags.h"
#include "common/servenv/servenv.h"
#include "common/topology/topology.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/backup_service.h"
#include "components/multiadmin/backups.h"
#include "components/multiadmin/grpc_service.h"
#include "components/multiadmin/http_api.h"

int main(int argc, char** argv) {
  mg::servenv::Server server("multiadmin", "The Admin API of a cluster.");
  std::vector<std::string> servers;
  std::string root;
  int read_concurrency = 32, lease_ttl = 30;
  absl::Duration lock_timeout = absl::Seconds(45), remote_timeout = absl::Seconds(15);
  server.flags().Add("topo-global-server-addresses", &servers, "etcd endpoints of the global topology");
  server.flags().Add("topo-global-root", &root, "root of the global topology");
  server.flags().Add("topo-read-concurrency", &read_concurrency, "accepted for compatibility");
  server.flags().Add("topo-etcd-lease-ttl", &lease_ttl, "accepted for compatibility");
  server.flags().Add("lock-timeout", &lock_timeout, "accepted for compatibility", {"MT_LOCK_TIMEOUT"});
  server.flags().Add("remote-operation-timeout", &remote_timeout, "accepted for compatibility",
                     {"MT_REMOTE_OPERATION_TIMEOUT"});
  mg::servenv::EtcdTlsFlags etcd_tls;
  mg::servenv::PoolerTlsFlags pooler_tls;
  etcd_tls.AddTo(&server.flags());
  pooler_tls.AddTo(&server.flags());
  if (std::optional<int> done = server.Init(argc, argv); done.has_value()) {
    return *done;
  }
  auto fail = [](absl::string_view message) {
    std::fprintf(stderr, "Error: %s\n", std::string(message).c_str());
    return 1;
  };
  if (servers.empty() || root.empty()) {
    return fail("--topo-global-server-addresses and --topo-global-root are required");
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> etcd = etcd_tls.Load();
  absl::StatusOr<mg::rpc::Dialer> poolers = pooler_tls.Load();
  if (!etcd.ok() || !poolers.ok()) {
    return fail(etcd.ok() ? poolers.status().message() : etcd.status().message());
  }
  std::unique_ptr<mg::topology::Topology> topology = mg::topology::Topology::Create(servers, root, *etcd);
  mg::multiadmin::Admin admin(topology.get(), *poolers);
  mg::multiadmin::Backups backups(topology.get(), *poolers);
  mg::multiadmin::GrpcService service(&admin, &backups);
  server.AddService(&service, "grpc-multiadmin", false);
  mg::multiadmin::ShardGrpcService shards(&admin);
  server.AddService(&shards, "grpc-multiadmin", false);
  mg::multiadmin::BackupGrpcService backup_service(&backups);
  server.AddService(&backup_service, "grpc-multiadmin", false);
  if (server.grpc_port() != 0 && server.ServiceEnabled("grpc-multiadmin", false)) {
    mg::multiadmin::AddHttpApi(&server, &admin, &backups);
  }
  server.SetStatusPage(
      [&root] { return absl::StrCat("<h1>multiadmin</h1><p>topology ", root, "; the API is below /api/v1/</p>"); });
  return server.Run();
}
