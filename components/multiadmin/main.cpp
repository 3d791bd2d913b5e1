/// multiadmin: the Admin API. Registers nothing in the topology.
#include <grpcpp/impl/service_type.h>

#include <malloc.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/servenv/client_tls_flags.h"
#include "common/servenv/pages.h"
#include "common/servenv/servenv.h"
#include "common/status/status.h"
#include "components/multiadmin/component_pages.h"
#include "components/multiadmin/grpc_service.h"
#include "components/multiadmin/http_api.h"
#include "components/multiadmin/options.h"
#include "components/multiadmin/registration.h"

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}

/// Everything that answers calls, in the order in which it is made; unmade in the reverse.
class Api {
 public:
  static absl::StatusOr<std::unique_ptr<Api>> Make(const std::vector<std::string>& servers, const std::string& root,
                                                   const mg::multiadmin::Options& options,
                                                   std::shared_ptr<grpc::ChannelCredentials> etcd,
                                                   mg::rpc::Dialer poolers) {
    using namespace mg::multiadmin;  // NOLINT(google-build-using-namespace)
    auto api = std::make_unique<Api>();
    if (options.auth != "token" && options.auth != "none") {
      return absl::InvalidArgumentError(absl::StrCat("--auth is token or none, not '", options.auth, "'"));
    }
    Gate::Options gate{.ask = options.auth == "token"};
    MG_ASSIGN_OR_RETURN(gate.certificate_roles, options.CertificateRoles());
    MG_ASSIGN_OR_RETURN(api->audit_, Audit::Open(options.audit_dir));
    if (!options.token_file.empty()) {
      api->file_ = std::make_unique<TokenFile>(options.token_file);
      MG_RETURN_IF_ERROR(mg::WithContext(api->file_->Load().status(), "--auth-token-file"));
    }
    api->cache_ = std::make_unique<TopologyCache>(servers, root, [etcd](const std::vector<std::string>& addresses) {
      return mg::etcd::Client::Create(addresses, etcd);
    });
    api->tokens_ = std::make_unique<TokenStore>(api->cache_->global(), root, api->file_.get());
    api->gate_ = std::make_unique<Gate>(std::move(gate), api->tokens_.get(), api->audit_.get());
    api->methods_ = std::make_unique<Methods>(api->gate_.get(), api->audit_.get());
    api->admin_ = std::make_unique<Admin>(api->cache_.get(), poolers);
    api->cells_ = std::make_unique<Cells>(api->cache_.get(), poolers);
    api->topology_ = mg::topology::Topology::Create(servers, root, etcd);
    api->backups_ = std::make_unique<Backups>(api->cache_.get(), poolers);
    api->restores_ = std::make_unique<Restores>(api->backups_.get(), api->topology_.get(), poolers);
    api->databases_ = std::make_unique<Databases>(
        api->admin_.get(), api->backups_.get(),
        ProvisionerPlace{.address = options.provisioner, .cluster = options.provisioner_cluster});
    RegisterMethods(api->methods_.get(), api->admin_.get(), api->backups_.get(), api->restores_.get(),
                    api->cells_.get(), api->cache_.get(), api->tokens_.get(), api->databases_.get());
    api->services_ =
        MakeGrpcServices(api->methods_.get(), api->cache_.get(), api->databases_.get(), api->restores_.get());
    return api;
  }

  void AddTo(mg::servenv::Server* server) {
    for (const std::unique_ptr<grpc::Service>& service : services_) {
      server->AddService(service.get(), "grpc-multiadmin", false);
    }
    if (server->grpc_port() != 0 && server->ServiceEnabled("grpc-multiadmin", false)) {
      mg::multiadmin::AddHttpApi(server, methods_.get());
    }
    mg::multiadmin::AddGuard(server, methods_.get());
    mg::multiadmin::AddComponentPages(server, cache_.get());
  }

 private:
  std::unique_ptr<mg::multiadmin::Audit> audit_;
  std::unique_ptr<mg::multiadmin::TokenFile> file_;
  std::unique_ptr<mg::multiadmin::TopologyCache> cache_;
  std::unique_ptr<mg::multiadmin::TokenStore> tokens_;
  std::unique_ptr<mg::multiadmin::Gate> gate_;
  std::unique_ptr<mg::multiadmin::Methods> methods_;
  std::unique_ptr<mg::multiadmin::Admin> admin_;
  std::unique_ptr<mg::topology::Topology> topology_;
  std::unique_ptr<mg::multiadmin::Backups> backups_;
  std::unique_ptr<mg::multiadmin::Restores> restores_;
  std::unique_ptr<mg::multiadmin::Cells> cells_;
  std::unique_ptr<mg::multiadmin::Databases> databases_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
};

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--print-rpc-rules") {
      std::fputs(mg::multiadmin::RulesAsMarkdown().c_str(), stdout);
      return 0;
    }
  }
  // So that what a flood has taken is given back: few arenas, and large blocks on their own.
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 64 << 10);
  mallopt(M_TRIM_THRESHOLD, 256 << 10);
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
  mg::multiadmin::Options options;
  options.AddTo(&server.flags());
  mg::servenv::EtcdTlsFlags etcd_tls;
  mg::servenv::PoolerTlsFlags pooler_tls;
  etcd_tls.AddTo(&server.flags());
  pooler_tls.AddTo(&server.flags());
  if (std::optional<int> done = server.Init(argc, argv); done.has_value()) {
    return *done;
  }
  if (servers.empty() || root.empty()) {
    return Fail(absl::InvalidArgumentError("--topo-global-server-addresses and --topo-global-root are required"));
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> etcd = etcd_tls.Load();
  absl::StatusOr<mg::rpc::Dialer> poolers = pooler_tls.Load();
  if (!etcd.ok() || !poolers.ok()) {
    return Fail(etcd.ok() ? poolers.status() : etcd.status());
  }
  absl::StatusOr<std::unique_ptr<Api>> api = Api::Make(servers, root, options, *etcd, *poolers);
  if (!api.ok()) {
    return Fail(api.status());
  }
  (*api)->AddTo(&server);
  if (options.auth == "none") {
    mg::log::Warn("the Admin API asks nobody who they are", {{"flag", "--auth=none"}});
  }
  server.SetStatusPage([&root] {
    return absl::StrCat("<h1>Multiadmin</h1><p>topology ", mg::servenv::EscapeHtml(root),
                        "; the API is below /api/v1/</p>",
                        "<ul><li><a href=\"/services\">Services</a></li><li><a href=\"/config\">Config</a></li>",
                        "<li><a href=\"/live\">Live</a></li><li><a href=\"/ready\">Ready</a></li></ul>");
  });
  return server.Run();
}
