#include "tests/integration/gateway_sandbox.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/certificates.h"
#include "common/fs/fs.h"
#include "common/logs/last_lines.h"
#include "common/pgwire/handoff.h"
#include "common/process/limits.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

constexpr char kPassword[] = "secret";
constexpr char kRoot[] = "/multigres/global";
constexpr char kCell[] = "zone1";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

std::string Program(const std::string& name) {
  return absl::StrCat(std::getenv("MULTIGRES_BUILD_DIR"), "/libexec/multigres/", name);
}

}  // namespace

bool GatewaySandbox::Possible() { return PgctldSandbox::Possible() && FindProgram("etcd").ok(); }

GatewaySandbox::GatewaySandbox(GatewaySandboxOptions options) : options_(std::move(options)) {
  char name[] = "/tmp/mg-gateway-XXXXXX";
  directory_ = ::mkdtemp(name);
  RaiseFileLimit();  // the pool is in this process
  testing::PostgresOptions postgres;
  postgres.password = kPassword;
  postgres.settings = options_.postgres_settings;
  postgres_ = testing::PostgresFixture::Start(postgres);
  StartEtcd();
  StartPooler();
  for (int i = 0; i < options_.gateways; ++i) {
    StartGateway(i);
  }
  Serve(multipooler::ServingMode::kReadWrite);
  for (int i = 0; i < options_.gateways && options_.allowed_names.empty(); ++i) {
    EXPECT_TRUE(Eventually([&] { return PQstatus(Connect("", i).get()) == CONNECTION_OK; }))
        << PQerrorMessage(Connect("", i).get());
  }
}

GatewaySandbox::~GatewaySandbox() {
  for (auto it = launched_.rbegin(); it != launched_.rend(); ++it) {
    if (::testing::Test::HasFailure() && *it != "etcd") {
      std::string text;
      for (const std::string& line : logs::LastLinesOfDirectory(absl::StrCat(directory_, "/log/", *it), 30)) {
        absl::StrAppend(&text, line, "\n");
      }
      ADD_FAILURE() << *it << ":\n" << text;
    }
    EXPECT_TRUE(shim::StopAndWait(absl::StrCat(directory_, "/run/", *it), {{.signal = SIGKILL}}).ok());
  }
  if (grpc_ != nullptr) {
    grpc_->Shutdown(std::chrono::system_clock::now());
  }
  remote_.reset();
  query_service_.reset();
  pool_.reset();
  postgres_.reset();
  EXPECT_TRUE(RemoveTree(directory_).ok());
}

void GatewaySandbox::Launch(const std::string& name, std::vector<std::string> argv) {
  shim::LaunchSpec spec;
  spec.name = absl::StrCat(name, "/", kCell);
  spec.run_dir = absl::StrCat(directory_, "/run/", name);
  spec.log_dir = absl::StrCat(directory_, "/log/", name);
  EXPECT_TRUE(MakeDirectories(spec.run_dir, 0700).ok());
  EXPECT_TRUE(MakeDirectories(spec.log_dir, 0700).ok());
  spec.argv = std::move(argv);
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"};
  spec.working_directory = "/";
  spec.generation = 1;
  absl::StatusOr<shim::ShimState> state = shim::Launch(Program("multigres-shim"), spec);
  EXPECT_TRUE(state.ok()) << name << ": " << state.status();
  launched_.push_back(name);
}

void GatewaySandbox::StartEtcd() {
  etcd_port_ = FreePort();
  std::string client = absl::StrCat("http://127.0.0.1:", etcd_port_);
  std::string peer = absl::StrCat("http://127.0.0.1:", FreePort());
  Launch("etcd", {*FindProgram("etcd"), "--name=default", absl::StrCat("--data-dir=", directory_, "/etcd"),
                  "--listen-client-urls=" + client, "--advertise-client-urls=" + client, "--listen-peer-urls=" + peer,
                  "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer, "--log-outputs=stderr",
                  "--heartbeat-interval=20", "--election-timeout=100"});
  std::string address = absl::StrCat("127.0.0.1:", etcd_port_);
  topology_ = topology::Topology::Create({address}, kRoot);
  clustermetadata::Cell cell;
  cell.set_name(kCell);
  cell.add_server_addresses(address);
  cell.set_root("/multigres/zone1");
  EXPECT_TRUE(Eventually([&] {
    absl::Status status = topology_->CreateCell(cell, Soon());
    return status.ok() || absl::IsAlreadyExists(status);
  }));
}

void GatewaySandbox::StartPooler() {
  multipooler::PostgresEndpoint endpoint;
  endpoint.socket_directory = postgres_->directory();
  endpoint.port = 5432;
  endpoint.superuser = "postgres";
  endpoint.database = "postgres";
  endpoint.password = []() -> absl::StatusOr<std::string> { return kPassword; };
  options_.pool.socket_path = pgwire::PoolerSocketPath(directory_ + "/pooler");
  EXPECT_TRUE(MakeDirectories(directory_ + "/pooler", 0700).ok());
  pool_ = multipooler::PoolServer::Create(options_.pool, endpoint, &serving_);
  EXPECT_TRUE(pool_->Start().ok());
  record_.mutable_id()->set_component(clustermetadata::ID::MULTIPOOLER);
  record_.mutable_id()->set_cell(kCell);
  record_.mutable_id()->set_name("abc");
  query_service_ = std::make_unique<multipooler::QueryService>(pool_.get(), &serving_, record_.id());
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", GrpcCredentials(), &port);
  builder.RegisterService(query_service_.get());
  grpc_ = builder.BuildAndStart();
  record_.mutable_shard_key()->set_database("postgres");
  record_.mutable_shard_key()->set_table_group("default");
  record_.mutable_shard_key()->set_shard("0-inf");
  // One host has two names here: a gateway that goes by the other takes the pooler for a machine of its own.
  record_.set_hostname(options_.elsewhere ? "localhost" : "127.0.0.1");
  (*record_.mutable_port_map())["grpc"] = port;
  record_.set_pooler_dir(directory_ + "/pooler");
  record_.mutable_lifecycle_status()->set_status(clustermetadata::LIFECYCLE_ACTIVE);
  if (options_.elsewhere) {
    StartRemoteEndpoint();
  }
}

std::string GatewaySandbox::Certificate(const std::string& name) const {
  return absl::StrCat(directory_, "/certs/", name);
}

std::shared_ptr<grpc::ServerCredentials> GatewaySandbox::GrpcCredentials() const {
  if (!options_.elsewhere) {
    return grpc::InsecureServerCredentials();
  }
  EXPECT_TRUE(local::EnsureCertificates(directory_ + "/certs").ok());
  grpc::SslServerCredentialsOptions ssl(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_root_certs = *ReadFile(Certificate("ca.crt"));
  ssl.pem_key_cert_pairs.push_back(
      {*ReadFile(Certificate("pgbackrest.key")), *ReadFile(Certificate("pgbackrest.crt"))});
  return grpc::SslServerCredentials(ssl);
}

void GatewaySandbox::StartRemoteEndpoint() {
  if (remote_port_ == 0) {
    remote_port_ = FreePort();
    (*record_.mutable_port_map())["pooler-pg"] = remote_port_;
    options_.gateway_flags.push_back("--multipooler-grpc-cert=" + Certificate("pgbackrest.crt"));
    options_.gateway_flags.push_back("--multipooler-grpc-key=" + Certificate("pgbackrest.key"));
    options_.gateway_flags.push_back("--multipooler-grpc-ca=" + Certificate("ca.crt"));
  }
  remote_ = multipooler::RemoteEndpoint::Create({.port = remote_port_,
                                                 .certificate = Certificate("pgbackrest.crt"),
                                                 .key = Certificate("pgbackrest.key"),
                                                 .authority = Certificate("ca.crt"),
                                                 .names = options_.allowed_names,
                                                 .socket_path = options_.pool.socket_path});
  absl::Status started = remote_->Start();
  EXPECT_TRUE(started.ok()) << started;
}

void GatewaySandbox::CutConnections() {
  remote_.reset();
  StartRemoteEndpoint();
}

void GatewaySandbox::StartGateway(int index) {
  ports_.push_back(FreePort());
  replica_ports_.push_back(FreePort());
  std::vector<std::string> argv = {Program("multigateway"),
                                   absl::StrCat("--http-port=", FreePort()),
                                   absl::StrCat("--grpc-port=", FreePort()),
                                   absl::StrCat("--pg-port=", ports_.back()),
                                   absl::StrCat("--pg-replica-port=", replica_ports_.back()),
                                   absl::StrCat("--topo-global-server-addresses=127.0.0.1:", etcd_port_),
                                   absl::StrCat("--topo-global-root=", kRoot),
                                   absl::StrCat("--cell=", kCell),
                                   "--bind-address=127.0.0.1",
                                   "--grpc-bind-address=127.0.0.1",
                                   "--hostname=127.0.0.1",
                                   "--pg-bind-address=127.0.0.1",
                                   "--log-output=stdout"};
  argv.insert(argv.end(), options_.gateway_flags.begin(), options_.gateway_flags.end());
  Launch(absl::StrCat("gateway", index), std::move(argv));
}

void GatewaySandbox::StopGateway(int gateway) {
  EXPECT_TRUE(shim::StopAndWait(absl::StrCat(directory_, "/run/gateway", gateway), {{.signal = SIGTERM}}).ok());
}

void GatewaySandbox::Serve(multipooler::ServingMode mode) {
  bool primary = mode == multipooler::ServingMode::kReadWrite;
  serving_.Set({.mode = mode, .coordinator_term = primary ? 1 : 0});
  record_.mutable_routing_state()->set_role(primary ? clustermetadata::ROUTING_ROLE_PRIMARY
                                                    : clustermetadata::ROUTING_ROLE_REPLICA);
  record_.mutable_routing_state()->mutable_rule()->set_coordinator_term(primary ? 1 : 0);
  record_.set_serving_status(mode == multipooler::ServingMode::kNone ? clustermetadata::DISABLED
                                                                     : clustermetadata::SERVING);
  EXPECT_TRUE(topology_->PutPooler(record_, Soon()).ok());
}

std::string GatewaySandbox::Conninfo(const std::string& more, int gateway) const {
  return absl::StrCat("host=127.0.0.1 port=", port(gateway), " user=postgres dbname=postgres password=", kPassword,
                      " connect_timeout=30 ", more);
}

Pq GatewaySandbox::Connect(const std::string& more, int gateway) const {
  return Pq(PQconnectdb(Conninfo(more, gateway).c_str()));
}

Pq GatewaySandbox::Direct() const {
  return Pq(PQconnectdb(
      absl::StrCat("host=", postgres_->directory(), " user=postgres dbname=postgres password=", kPassword).c_str()));
}

absl::StatusOr<HelperResult> GatewaySandbox::Run(const std::string& program, std::vector<std::string> arguments,
                                                 const std::string& input, bool direct) const {
  HelperSpec spec;
  absl::StatusOr<std::string> path = FindProgram(program, {postgres_->binaries(), "/usr/lib/postgresql/15/bin"});
  MG_RETURN_IF_ERROR(path.status());
  spec.argv = {*path};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  spec.environment = {absl::StrCat("PGHOST=", direct ? postgres_->directory() : "127.0.0.1"),
                      absl::StrCat("PGPORT=", direct ? 5432 : port()), "PGUSER=postgres", "PGDATABASE=postgres",
                      absl::StrCat("PGPASSWORD=", kPassword)};
  spec.standard_input = input;
  return RunHelper(spec);
}

std::string Ask(const Pq& connection, const std::string& sql) {
  PqResult result(PQexec(connection.get(), sql.c_str()));
  if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) {
    return PQcmdStatus(result.get());
  }
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    const char* code = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    return absl::StrCat(code == nullptr ? "" : code, " ", PQerrorMessage(connection.get()));
  }
  return PQntuples(result.get()) == 0 || PQnfields(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

std::string LastCode(const Pq& connection) {
  std::string code = "00000";
  for (PqResult result(PQgetResult(connection.get())); result != nullptr; result.reset(PQgetResult(connection.get()))) {
    const char* field = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    if (field != nullptr) {
      code = field;
    } else if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR && code == "00000") {
      code = "lost";
    }
  }
  return code;
}

std::string Code(const Pq& connection, const std::string& sql) {
  PQsendQuery(connection.get(), sql.c_str());
  return LastCode(connection);
}

}  // namespace mg::tests
