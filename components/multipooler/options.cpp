#include "components/multipooler/options.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/flags/flags.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::multipooler {
namespace {

std::string Environment(const char* name, const std::string& fallback = "") {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  return std::filesystem::absolute(path, error).lexically_normal().string();
}

std::string Resolved(const std::string& path) {
  std::error_code error;
  std::filesystem::path real = std::filesystem::weakly_canonical(path, error);
  return error ? path : real.string();
}

absl::StatusOr<std::string> ReadPassword(const std::string& path) {
  MG_ASSIGN_OR_RETURN(std::string password, ReadFile(path));
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) {
    password.pop_back();
  }
  if (password.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the password file ", path, " is empty"));
  }
  return password;
}

absl::Status CheckNode(const Options& options) {
  if (options.topo_servers.empty() || options.topo_root.empty()) {
    return absl::InvalidArgumentError("--topo-global-server-addresses and --topo-global-root are required");
  }
  MG_RETURN_IF_ERROR(WithContext(topology::ValidateCellName(options.cell), "--cell"));
  if (options.table_group != "default" || options.shard != "0-inf") {
    return absl::InvalidArgumentError("--table-group must be default and --shard must be 0-inf");
  }
  if (options.service_id.find('_') != std::string::npos) {
    return absl::InvalidArgumentError("--service-id must not contain '_'");
  }
  return options.pooler_dir.empty() ? absl::InvalidArgumentError("--pooler-dir is required") : absl::OkStatus();
}

}  // namespace

void Options::AddTo(flags::FlagSet* flags) {
  flags->Add("pgctld-addr", &pgctld_address, "gRPC address of this pooler's pgctld");
  flags->Add("topo-global-server-addresses", &topo_servers, "etcd endpoints, host:port");
  flags->Add("topo-global-root", &topo_root, "key prefix of the global topology");
  flags->Add("cell", &cell, "cell of this pooler", {"MT_CELL"});
  flags->Add("database", &database, "database that it serves", {"POSTGRES_DB"});
  flags->Add("table-group", &table_group, "only default");
  flags->Add("shard", &shard, "only 0-inf");
  flags->Add("service-id", &service_id, "stable name of this pooler; empty: random", {"MT_SERVICE_ID"});
  flags->Add("socket-file", &socket_file, "Unix socket of its PostgreSQL; empty: TCP to --hostname");
  flags->Add("pooler-dir", &pooler_dir, "directory of the pooler");
  flags->Add("pg-port", &pg_port, "port of its PostgreSQL");
  flags->Add("pooler-pg-port", &pooler_pg_port,
             "port for gateways of other machines, by mutual TLS with --grpc-cert, --grpc-key and --grpc-ca; 0: none");
  etcd_tls.AddTo(flags);
  flags->Add("postgres-response-limit", &response_limit,
             "a running PostgreSQL that does not answer for so long counts as frozen; another node leads then");
  flags->Add("stale-read-limit", &stale_read_limit,
             "a leader whose log no quorum confirms for so long stops serving reads; at least 3 heartbeats");
  flags->Add("heartbeat-interval-milliseconds", &heartbeat_ms, "between writes of the leader's heartbeat");
  flags->Add("health-stream-staleness-timeout", &staleness_timeout, "told to orchs; 0: 90s");
  flags->Add("connpool-admin-user", &admin_user, "superuser", {"CONNPOOL_ADMIN_USER", "POSTGRES_USER"});
  flags->Add("connpool-admin-password", &admin_password, "its password; better a file",
             {"CONNPOOL_ADMIN_PASSWORD", "POSTGRES_PASSWORD"});
  flags->Add("connpool-admin-password-file", &admin_password_file, "file with its password",
             {"CONNPOOL_ADMIN_PASSWORD_FILE", "POSTGRES_PASSWORD_FILE"});
  flags->MarkSecret("connpool-admin-password");
  flags->Add("remote-operation-timeout", &remote_operation_timeout, "limit of one remote operation",
             {"MT_REMOTE_OPERATION_TIMEOUT"});
  flags->Add("connpool-global-capacity", &global_capacity, "most server connections in all",
             {"CONNPOOL_GLOBAL_CAPACITY"});
  flags->Add("connpool-dial-timeout", &dial_timeout, "limit of a login to PostgreSQL");
  flags->Add("connpool-user-regular-idle-timeout", &idle_timeout, "an idle server connection ends after this");
  flags->Add("connpool-user-regular-max-lifetime", &max_lifetime, "a server connection is not used again after this");
  flags->Accept<std::string>({"pgbackrest-cert-file", "pgbackrest-key-file", "pgbackrest-ca-file",
                              "pgbackrest-cipher-key-file", "pg-client-sslmode", "pg-client-sslrootcert",
                              "pg-client-sslnegotiation"});
  flags->Accept<int>({"pgbackrest-port", "postgres-unrecoverable-min-attempts", "connpool-admin-capacity",
                      "connpool-settings-cache-size", "connpool-min-capacity-per-user", "topo-read-concurrency",
                      "topo-etcd-lease-ttl"});
  flags->Accept<absl::Duration>({"postgres-unrecoverable-timeout", "lock-timeout",
                                 "connpool-user-reserved-inactivity-timeout", "connpool-user-reserved-idle-timeout",
                                 "connpool-user-reserved-max-lifetime", "connpool-rebalance-interval",
                                 "connpool-demand-window", "connpool-inactive-timeout", "connpool-drain-grace-period"});
  flags->Accept<bool>({"backend-vpid-tracking-enabled", "enable-slot-based-replication"});
  flags->Accept<double>({"connpool-reserved-ratio"});
}

absl::StatusOr<Config> Options::ToConfig(const std::string& hostname, int grpc_port) const {
  MG_RETURN_IF_ERROR(CheckNode(*this));
  std::string data = Environment("PGDATA");
  if (data.empty()) {
    return absl::InvalidArgumentError("PGDATA must be set to the data directory");
  }
  Config config;
  config.id.set_component(clustermetadata::ID::MULTIPOOLER);
  config.id.set_cell(cell);
  config.id.set_name(service_id.empty() ? topology::RandomName() : service_id);
  config.shard.set_database(database);
  config.shard.set_table_group(table_group);
  config.shard.set_shard(shard);
  config.hostname = hostname;
  config.grpc_port = grpc_port;
  config.pooler_dir = Absolute(pooler_dir);
  config.data_directory = Absolute(data);
  config.pgctld_address = pgctld_address;
  config.run_as = geteuid() == 0 ? Environment("MULTIGRES_RUN_AS", "postgres") : "";
  if (std::string text = Environment("MULTIGRES_POSTGRES_VERSION");
      !text.empty() && !absl::SimpleAtoi(text, &config.postgres_major)) {
    return absl::InvalidArgumentError(absl::StrCat("MULTIGRES_POSTGRES_VERSION: '", text, "' is not a number"));
  }
  if (staleness_timeout > absl::ZeroDuration()) {
    config.staleness_timeout = staleness_timeout;
  }
  if (heartbeat_ms > 0) {
    config.heartbeat_interval = absl::Milliseconds(heartbeat_ms);
  }
  if (response_limit < absl::Milliseconds(100)) {
    return absl::InvalidArgumentError("--postgres-response-limit must be 100ms or more");
  }
  config.response_limit = response_limit;
  if (stale_read_limit < 3 * config.heartbeat_interval) {
    return absl::InvalidArgumentError("--stale-read-limit must be three --heartbeat-interval-milliseconds or more");
  }
  config.stale_read_limit = stale_read_limit;
  config.remote_operation_limit = remote_operation_timeout;
  config.postgres.host = hostname;
  config.postgres.port = pg_port;
  if (!socket_file.empty()) {
    config.postgres.socket_directory = Resolved(DirName(Absolute(socket_file)));
  }
  config.postgres.superuser = admin_user;
  config.postgres.database = database;
  if (!admin_password_file.empty()) {
    MG_RETURN_IF_ERROR(ReadPassword(admin_password_file).status());
    config.postgres.password = [path = admin_password_file] { return ReadPassword(path); };
  } else if (!admin_password.empty()) {
    config.postgres.password = [password = admin_password]() -> absl::StatusOr<std::string> { return password; };
  } else {
    return absl::InvalidArgumentError(
        "a password is needed: --connpool-admin-password-file, or POSTGRES_PASSWORD_FILE");
  }
  return config;
}

}  // namespace mg::multipooler
