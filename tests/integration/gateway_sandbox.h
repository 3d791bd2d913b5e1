/// Clients' way through a gateway with real processes: etcd, multigateways and a PostgreSQL; the pooler's part (pool
/// and query service) runs in the test itself, which decides what it serves. At the end none is left. One thread.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <vector>

#include "common/process/helper.h"
#include "common/topology/topology.h"
#include "components/multipooler/pool/pool_server.h"
#include "components/multipooler/pool/query_service.h"
#include "components/multipooler/pool/remote_endpoint.h"
#include "tests/integration/postgres_fixture.h"

namespace mg::tests {

struct PqFinish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Pq = std::unique_ptr<PGconn, PqFinish>;
struct PqClear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PqResult = std::unique_ptr<PGresult, PqClear>;

struct GatewaySandboxOptions {
  int gateways = 1;
  std::vector<std::string> gateway_flags;
  multipooler::PoolOptions pool;
  std::vector<std::string> postgres_settings;
  /// The pooler is on another machine, as far as the gateway can see: only mutual TLS reaches it.
  bool elsewhere = false;
  /// With `elsewhere`: whose certificates the pooler lets in.
  std::vector<std::string> allowed_names;
};

class GatewaySandbox {
 public:
  explicit GatewaySandbox(GatewaySandboxOptions options = {});
  ~GatewaySandbox();
  GatewaySandbox(const GatewaySandbox&) = delete;
  GatewaySandbox& operator=(const GatewaySandbox&) = delete;
  static bool Possible();

  /// What the pooler serves from now on, in its record too.
  void Serve(multipooler::ServingMode mode);
  multipooler::ServingState& serving() { return serving_; }
  multipooler::PoolServer& pool() { return *pool_; }
  void StopGateway(int gateway);
  /// With `elsewhere`: all connections between gateways and pooler end at once, without a word; new ones are possible.
  void CutConnections();

  int port(int gateway = 0) const { return ports_[static_cast<size_t>(gateway)]; }
  int replica_port(int gateway = 0) const { return replica_ports_[static_cast<size_t>(gateway)]; }
  const std::string& directory() const { return directory_; }
  const testing::PostgresFixture& postgres() const { return *postgres_; }
  /// Connection string with more settings in front (which win not: libpq takes the last).
  std::string Conninfo(const std::string& more = "", int gateway = 0) const;
  /// Through a gateway; check with PQstatus.
  Pq Connect(const std::string& more = "", int gateway = 0) const;
  /// To PostgreSQL itself, as the superuser.
  Pq Direct() const;
  /// A PostgreSQL program with the connection in its environment.
  absl::StatusOr<HelperResult> Run(const std::string& program, std::vector<std::string> arguments,
                                   const std::string& input = "", bool direct = false) const;

 private:
  void Launch(const std::string& name, std::vector<std::string> argv);
  void StartEtcd();
  void StartPooler();
  std::string Certificate(const std::string& name) const;
  void StartRemoteEndpoint();
  std::shared_ptr<grpc::ServerCredentials> GrpcCredentials() const;
  void StartGateway(int index);

  GatewaySandboxOptions options_;
  std::string directory_;
  int etcd_port_ = 0;
  int remote_port_ = 0;
  std::vector<int> ports_, replica_ports_;
  std::vector<std::string> launched_;
  std::unique_ptr<testing::PostgresFixture> postgres_;
  std::unique_ptr<topology::Topology> topology_;
  multipooler::ServingState serving_;
  std::unique_ptr<multipooler::PoolServer> pool_;
  std::unique_ptr<multipooler::QueryService> query_service_;
  std::unique_ptr<multipooler::RemoteEndpoint> remote_;
  std::unique_ptr<grpc::Server> grpc_;
  clustermetadata::Multipooler record_;
};

/// First column of the first row; the SQLSTATE and text of an error.
std::string Ask(const Pq& connection, const std::string& sql);
/// SQLSTATE of the last error among the results of what was sent, "00000" without one, "lost" when only the connection
/// ended.
std::string LastCode(const Pq& connection);
/// The same of a statement.
std::string Code(const Pq& connection, const std::string& sql);

}  // namespace mg::tests
