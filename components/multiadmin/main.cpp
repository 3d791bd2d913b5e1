/// multiadmin: the Admin API. A reader of the topology; registers nothing.
#include <grpcpp/impl/service_type.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/servenv/servenv.h"
#include "common/topology/topology.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/grpc_service.h"
#include "components/multiadmin/http_api.h"

int main(int argc, char** argv) {
  mg::servenv::Server server("multiadmin", "The Admin API of a cluster.");
  std::vector<std::string> servers;
  std::string root, ignored_text;
  int read_concurrency = 32, lease_ttl = 30;
  bool require_tls = false;
  absl::Duration lock_timeout = absl::Seconds(45), remote_timeout = absl::Seconds(15);
  server.flags().Add("topo-global-server-addresses", &servers, "etcd endpoints of the global topology");
  server.flags().Add("topo-global-root", &root, "root of the global topology");
  server.flags().Add("topo-read-concurrency", &read_concurrency, "accepted for compatibility");
  server.flags().Add("topo-etcd-lease-ttl", &lease_ttl, "accepted for compatibility");
  server.flags().Add("lock-timeout", &lock_timeout, "accepted for compatibility", {"MT_LOCK_TIMEOUT"});
  server.flags().Add("remote-operation-timeout", &remote_timeout, "accepted for compatibility",
                     {"MT_REMOTE_OPERATION_TIMEOUT"});
  for (const char* name :
       {"topo-etcd-tls-cert", "topo-etcd-tls-key", "topo-etcd-tls-ca", "multipooler-grpc-cert", "multipooler-grpc-key",
        "multipooler-grpc-ca", "multipooler-grpc-crl", "multipooler-grpc-server-name"}) {
    server.flags().Add(name, &ignored_text, "not implemented");
  }
  server.flags().Add("multipooler-grpc-require-tls", &require_tls, "not implemented");
  if (std::optional<int> done = server.Init(argc, argv); done.has_value()) {
    return *done;
  }
  if (servers.empty() || root.empty() || !ignored_text.empty() || require_tls) {
    std::fprintf(stderr, "Error: %s\n",
                 servers.empty() || root.empty()
                     ? "--topo-global-server-addresses and --topo-global-root are required"
                     : "TLS towards etcd and poolers is not implemented; leave those flags out");
    return 1;
  }
  std::unique_ptr<mg::topology::Topology> topology = mg::topology::Topology::Create(servers, root);
  mg::multiadmin::Admin admin(topology.get());
  mg::multiadmin::GrpcService service(&admin);
  server.AddService(&service, "grpc-multiadmin", false);
  if (server.grpc_port() != 0 && server.ServiceEnabled("grpc-multiadmin", false)) {
    mg::multiadmin::AddHttpApi(&server, &admin);
  }
  server.SetStatusPage(
      [&root] { return absl::StrCat("<h1>multiadmin</h1><p>topology ", root, "; the API is below /api/v1/</p>"); });
  return server.Run();
}
