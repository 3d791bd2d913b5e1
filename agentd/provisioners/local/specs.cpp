#include "agentd/provisioners/local/specs.h"

#include <signal.h>

#include <algorithm>
#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

using store::ComponentName;

constexpr char kLoopback[] = "127.0.0.1";
constexpr char kHost[] = "localhost";
constexpr char kTableGroup[] = "default";
constexpr char kShard[] = "0-inf";
/// Of upstream's generated file; it makes an orch look twice a second.
constexpr char kOrchInterval[] = "250ms";
constexpr int kHungAfterSeconds = 15;
constexpr int kStartBoundSeconds = 45;

class SpecBuilder {
 public:
  SpecBuilder(const SpecInput& input, const ComponentName& name, v1::ComponentKind kind) : input_(input), name_(name) {
    spec_.set_name(name.ToString());
    spec_.set_kind(kind);
    spec_.set_cell(name.cell);
    spec_.set_database(name.database);
    auto ports = input.ports.find(spec_.name());
    if (ports != input.ports.end()) {
      for (const auto& [port_name, number] : ports->second) {
        v1::Port* port = spec_.add_ports();
        port->set_name(port_name);
        port->set_number(number);
      }
    }
    auto found = input.implementations.find(name.kind);
    if (found != input.implementations.end()) {
      implementation_ = found->second;
      spec_.set_implementation(implementation_.word);
      spec_.add_argv(implementation_.program);
    }
    auto restart = input.config.restart.find(name.kind);
    spec_.set_restart(restart == input.config.restart.end() ? "always" : restart->second);
    spec_.mutable_hung_after()->set_seconds(kHungAfterSeconds);
    spec_.mutable_start_bound()->set_seconds(kStartBoundSeconds);
    for (const auto& [key, value] : input.environment) {
      Env(key, value);
    }
  }

  bool builtin() const { return implementation_.is_builtin; }
  int port(const std::string& port_name) const { return PortOf(spec_, port_name); }
  void Word(const std::string& word) { spec_.add_argv(word); }
  void Flag(const std::string& flag, const std::string& value) {
    spec_.add_argv(absl::StrCat("--", flag));
    spec_.add_argv(value);
  }
  void Flag(const std::string& flag, int value) { Flag(flag, absl::StrCat(value)); }
  void Env(const std::string& key, const std::string& value) {
    v1::EnvironmentVariable* variable = spec_.add_environment();
    variable->set_name(key);
    variable->set_value(value);
  }
  void Directory(const std::string& path, std::uint32_t mode, const std::string& owner = "") {
    v1::FileSpec* file = spec_.add_files();
    file->set_path(path);
    file->set_directory(true);
    file->set_mode(mode);
    file->set_owner(owner);
  }
  void SecretFile(const std::string& path) {
    v1::FileSpec* file = spec_.add_files();
    file->set_path(path);
    file->set_mode(0600);
    file->set_secret(true);
  }
  void Ready(const std::string& type, int port_number, const std::string& path = "") {
    v1::Probe* probe = spec_.mutable_readiness();
    probe->set_type(type);
    probe->set_host(kLoopback);
    probe->set_port(port_number);
    probe->set_path(path);
  }
  /// Any answer to an HTTP request will do.
  void AliveByHttp(int port_number, const std::string& path) {
    v1::Probe* probe = spec_.mutable_liveness();
    probe->set_type("http");
    probe->set_host(kLoopback);
    probe->set_port(port_number);
    probe->set_path(path);
  }
  void StopBy(int signal_number, int seconds) {
    v1::StopStep* step = spec_.add_stop();
    step->set_signal(signal_number);
    step->mutable_wait()->set_seconds(seconds);
  }
  void After(std::initializer_list<std::string> names) {
    for (const std::string& name : names) {
      spec_.add_after(name);
    }
  }
  v1::ComponentSpec& spec() { return spec_; }
  v1::ComponentSpec Take() { return std::move(spec_); }

  void TopologyFlags() {
    const auto& etcd = input_.ports.at(store::kEtcd);
    Flag("topo-global-server-addresses", absl::StrCat(kHost, ":", etcd.at("client")));
    Flag("topo-global-root", input_.config.global_topo_root);
  }
  void LogFlags() {
    Flag("log-level", input_.config.log_level);
    Flag("log-output", "stdout");
  }
  void LoopbackFlags() {
    Flag("bind-address", kLoopback);
    Flag("grpc-bind-address", kLoopback);
  }
  void Service() {
    AliveByHttp(port("http"), "/live");
    StopBy(SIGTERM, 2);
    StopBy(SIGKILL, 1);
  }

 private:
  const SpecInput& input_;
  const ComponentName name_;
  Implementation implementation_;
  v1::ComponentSpec spec_;
};

v1::ComponentSpec Etcd(const SpecInput& input) {
  SpecBuilder b(input, {.kind = store::kEtcd}, v1::COMPONENT_KIND_ETCD);
  auto url = [](int port) { return absl::StrCat("http://", kLoopback, ":", port); };
  b.Flag("name", "default");
  b.Flag("data-dir", input.paths.EtcdData());
  b.Flag("listen-client-urls", url(b.port("client")));
  b.Flag("advertise-client-urls", url(b.port("client")));
  b.Flag("listen-peer-urls", url(b.port("peer")));
  b.Flag("initial-advertise-peer-urls", url(b.port("peer")));
  b.Flag("initial-cluster", absl::StrCat("default=", url(b.port("peer"))));
  b.Flag("initial-cluster-state", "new");
  b.Flag("listen-metrics-urls", url(b.port("metrics")));
  b.Flag("logger", "zap");
  b.Flag("log-outputs", "stderr");
  // The only member waits for nobody, but for a whole election timeout before it elects itself: 1 s by default, and
  // twice that with existing data.
  b.Env("ETCD_HEARTBEAT_INTERVAL", "20");
  b.Env("ETCD_ELECTION_TIMEOUT", "100");
  b.Directory(input.paths.EtcdData(), 0700);
  b.Ready("etcd-health", b.port("metrics"), "/health");
  b.AliveByHttp(b.port("metrics"), "/health");
  b.StopBy(SIGTERM, 2);
  b.StopBy(SIGKILL, 1);
  return b.Take();
}

v1::ComponentSpec Multiadmin(const SpecInput& input) {
  SpecBuilder b(input, {.kind = store::kMultiadmin}, v1::COMPONENT_KIND_MULTIADMIN);
  b.Flag("http-port", b.port("http"));
  b.Flag("grpc-port", b.port("grpc"));
  b.TopologyFlags();
  b.LogFlags();
  b.Flag("service-map", "grpc-multiadmin");
  b.Flag("hostname", kHost);
  b.LoopbackFlags();
  if (b.builtin()) {  // upstream's asks nobody, and has no such flags
    b.Flag("auth", input.config.admin_auth);
    if (AsksForToken(input)) {
      b.Flag("auth-token-file", input.paths.AdminToken());
      b.SecretFile(input.paths.AdminToken());
    }
    b.Flag("audit-log-dir", input.paths.AuditLogDir());
    if (!input.provisioner.empty()) {
      b.Flag("provisioner", input.provisioner);
      b.Flag("provisioner-cluster", input.config.name);
    }
  }
  b.Ready("http", b.port("http"), "/live");
  b.Service();
  b.After({store::kEtcd});
  return b.Take();
}

v1::ComponentSpec Pgctld(const SpecInput& input, const Member& member) {
  ComponentName name{store::kPgctld, member.cell, member.database};
  ComponentName postgres{store::kPostgres, member.cell, member.database};
  std::string dir = PoolerDirOf(input, member);
  int pg_port = input.ports.at(postgres.ToString()).at("postgres");
  SpecBuilder b(input, name, v1::COMPONENT_KIND_PGCTLD);
  b.Word("server");
  b.Flag("pooler-dir", dir);
  b.Flag("grpc-port", b.port("grpc"));
  b.Flag("http-port", b.port("http"));
  b.Flag("pg-port", pg_port);
  b.Flag("pg-database", DatabaseOf(input, member));
  b.Flag("pg-user", input.config.postgres_user);
  b.Flag("timeout", input.config.pgctld_timeout_seconds);
  b.LogFlags();
  b.Flag("pgbackrest-port", b.port("pgbackrest"));
  b.Flag("pgbackrest-cert-dir", input.paths.Certs());
  b.LoopbackFlags();
  b.Flag("pg-listen-addresses", kLoopback);
  b.Env("PGDATA", store::PostgresData(dir));
  b.Env("POSTGRES_PASSWORD_FILE", store::PasswordFile(dir));
  b.Env("POSTGRES_INITDB_EXTRA_CONF", input.paths.PostgresConf());
  if (!input.config.initdb_args.empty()) {
    b.Env("POSTGRES_INITDB_ARGS", absl::StrJoin(input.config.initdb_args, " "));
  }
  if (input.init_sql_files > 0) {
    std::vector<std::string> files;
    for (int i = 1; i <= input.init_sql_files; ++i) {
      files.push_back(input.paths.InitSql(i));
    }
    b.Env("POSTGRES_INITDB_SQL_FILES", absl::StrJoin(files, ","));
  }
  b.Env("MULTIGRES_SHIM", input.shim);
  b.Env("MULTIGRES_POSTGRES_RUN_DIR", input.paths.RunDir(postgres));
  b.Env("MULTIGRES_POSTGRES_LOG_DIR", input.paths.LogDir(postgres));
  // Only where the file says otherwise: an environment that differs is a restart.
  if (config::ClusterConfig usual;
      input.config.log_file_mb != usual.log_file_mb || input.config.log_files != usual.log_files) {
    b.Env("MULTIGRES_POSTGRES_LOG_LIMITS", absl::StrCat(input.config.log_file_mb, ":", input.config.log_files));
  }
  b.Env("MULTIGRES_POSTGRES_NAME", postgres.ToString());
  b.Env("MULTIGRES_POSTGRES_VERSION", absl::StrCat(input.config.postgres_version));
  if (input.root) {
    b.Env("MULTIGRES_RUN_AS", input.config.run_as);
  }
  b.Directory(dir, input.root ? 0755 : 0700);
  b.Directory(store::PostgresSockets(dir), 0755, input.root ? input.config.run_as : "");
  b.SecretFile(store::PasswordFile(dir));
  b.Ready("pgctld-status", b.port("grpc"));
  b.Service();
  return b.Take();
}

v1::ComponentSpec Postgres(const SpecInput& input, const Member& member) {
  ComponentName name{store::kPostgres, member.cell, member.database};
  SpecBuilder b(input, name, v1::COMPONENT_KIND_POSTGRES);
  b.spec().clear_environment();
  b.spec().set_implementation("debian");
  b.spec().set_observed_only(true);
  b.spec().set_restart("never");  // by us: its pooler decides
  b.spec().set_run_as(input.root ? input.config.run_as : "");
  int port = b.port("postgres");
  b.Ready("postgres", port, SocketFileOf(input, member));
  *b.spec().mutable_liveness() = b.spec().readiness();
  // Fast, then immediate: a shutdown that waits for sessions would wait for ever.
  b.StopBy(SIGINT, 10);
  b.StopBy(SIGQUIT, 5);
  b.StopBy(SIGKILL, 1);
  b.After({ComponentName{store::kPgctld, member.cell, member.database}.ToString()});
  return b.Take();
}

v1::ComponentSpec Multipooler(const SpecInput& input, const Member& member) {
  ComponentName pgctld{store::kPgctld, member.cell, member.database};
  ComponentName postgres{store::kPostgres, member.cell, member.database};
  std::string dir = PoolerDirOf(input, member);
  int pg_port = input.ports.at(postgres.ToString()).at("postgres");
  const auto& pgctld_ports = input.ports.at(pgctld.ToString());
  SpecBuilder b(input, {store::kMultipooler, member.cell, member.database}, v1::COMPONENT_KIND_MULTIPOOLER);
  b.Flag("http-port", b.port("http"));
  b.Flag("grpc-port", b.port("grpc"));
  b.TopologyFlags();
  b.Flag("cell", member.cell);
  b.Flag("database", DatabaseOf(input, member));
  b.Flag("table-group", kTableGroup);
  b.Flag("shard", kShard);
  b.Flag("service-id", input.service_ids.at(member.Place()));
  b.Flag("pgctld-addr", absl::StrCat(kHost, ":", pgctld_ports.at("grpc")));
  b.LogFlags();
  b.Flag("pooler-dir", dir);
  b.Flag("pg-port", pg_port);
  b.Flag("hostname", kHost);
  b.Flag("socket-file", SocketFileOf(input, member));
  b.Flag("service-map", "grpc-pooler");
  b.Flag("pgbackrest-cert-file", absl::StrCat(input.paths.Certs(), "/pgbackrest.crt"));
  b.Flag("pgbackrest-key-file", absl::StrCat(input.paths.Certs(), "/pgbackrest.key"));
  b.Flag("pgbackrest-ca-file", absl::StrCat(input.paths.Certs(), "/ca.crt"));
  b.Flag("pgbackrest-port", pgctld_ports.at("pgbackrest"));
  b.LoopbackFlags();
  b.Env("POSTGRES_PASSWORD_FILE", store::PasswordFile(dir));
  b.Env("PGDATA", store::PostgresData(dir));
  if (input.root) {
    b.Env("MULTIGRES_RUN_AS", input.config.run_as);
  }
  b.Directory(store::PoolerRun(dir), 0700);
  b.Ready("multipooler-status", b.port("grpc"));
  b.Service();
  b.After({store::kEtcd, pgctld.ToString()});
  return b.Take();
}

/// One shard per database. Every orch watches all of them, those too that have no member in its cell.
std::string WatchTargets(const SpecInput& input) {
  std::string targets = input.config.database;
  for (const LaterDatabase& database : input.databases) {
    if (!database.leaving) {
      absl::StrAppend(&targets, ",", database.name);
    }
  }
  return targets;
}

v1::ComponentSpec Multiorch(const SpecInput& input, const config::CellConfig& cell) {
  SpecBuilder b(input, {store::kMultiorch, cell.name, ""}, v1::COMPONENT_KIND_MULTIORCH);
  b.Flag("http-port", b.port("http"));
  b.Flag("grpc-port", b.port("grpc"));
  b.TopologyFlags();
  b.Flag("cell", cell.name);
  b.Flag("watch-targets", WatchTargets(input));
  b.LogFlags();
  b.Flag("hostname", kHost);
  b.Flag("pooler-health-check-interval", kOrchInterval);
  b.Flag("recovery-cycle-interval", kOrchInterval);
  b.LoopbackFlags();
  b.Ready("http", b.port("http"), "/live");
  b.Service();
  b.After({store::kEtcd});
  return b.Take();
}

v1::ComponentSpec Multigateway(const SpecInput& input, const config::CellConfig& cell) {
  SpecBuilder b(input, {store::kMultigateway, cell.name, ""}, v1::COMPONENT_KIND_MULTIGATEWAY);
  b.Flag("http-port", b.port("http"));
  b.Flag("grpc-port", b.port("grpc"));
  b.Flag("pg-port", b.port("postgres"));
  b.TopologyFlags();
  b.Flag("cell", cell.name);
  b.LogFlags();
  b.Flag("hostname", kHost);
  b.LoopbackFlags();
  b.Flag("pg-bind-address", kLoopback);
  b.Flag("pg-replica-port", b.port("postgres_replica"));
  if (b.builtin()) {
    b.Env("MT_DEFAULT_DATABASE", input.config.database);
  }
  b.Ready("http", b.port("http"), "/live");
  b.Service();
  b.After({store::kEtcd});
  return b.Take();
}

}  // namespace

std::vector<Member> MembersOf(const SpecInput& input) {
  std::vector<Member> members;
  for (const config::CellConfig& cell : input.config.cells) {
    members.push_back({.cell = cell.name});
  }
  for (const LaterDatabase& database : input.databases) {
    for (const std::string& cell : database.cells) {
      members.push_back({.cell = cell, .database = database.name});
    }
  }
  return members;
}

std::string PoolerDirOf(const SpecInput& input, const Member& member) {
  for (const config::CellConfig& cell : input.config.cells) {
    if (cell.name == member.cell && member.database.empty() && !cell.pooler_dir.empty()) {
      return cell.pooler_dir;
    }
  }
  return input.paths.PoolerDir(input.service_ids.at(member.Place()));
}

std::string SocketFileOf(const SpecInput& input, const Member& member) {
  ComponentName postgres{store::kPostgres, member.cell, member.database};
  return absl::StrCat(input.socket_dirs.at(member.Place()), "/.s.PGSQL.",
                      input.ports.at(postgres.ToString()).at("postgres"));
}

bool AsksForToken(const SpecInput& input) {
  auto multiadmin = input.implementations.find(store::kMultiadmin);
  return input.config.admin_auth == "token" && multiadmin != input.implementations.end() &&
         multiadmin->second.is_builtin;
}

absl::StatusOr<std::string> ReadAdminToken(const SpecInput& input) {
  if (!AsksForToken(input)) {
    return "";
  }
  absl::StatusOr<std::string> text = ReadFile(input.paths.AdminToken());
  if (!text.ok()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("the Admin API's token: ", text.status().message()),
                     {.reason = "ADMIN_TOKEN_MISSING", .hint = "multigres up writes a new one"});
  }
  return std::string(absl::StripAsciiWhitespace(*text));
}

std::string BackupsOf(const SpecInput& input) {
  return input.config.backup_path.empty() ? input.paths.Backups() : input.config.backup_path;
}

std::string DatabaseOf(const SpecInput& input, const Member& member) {
  return member.database.empty() ? input.config.database : member.database;
}

std::string SiblingOf(const v1::ComponentSpec& spec, const std::string& kind) {
  return ComponentName{kind, spec.cell(), spec.database()}.ToString();
}

std::vector<v1::ComponentSpec> MakeSpecs(const SpecInput& input) {
  std::vector<v1::ComponentSpec> specs = {Etcd(input), Multiadmin(input)};
  for (const config::CellConfig& cell : input.config.cells) {
    Member member{.cell = cell.name};
    specs.push_back(Pgctld(input, member));
    specs.push_back(Postgres(input, member));
    specs.push_back(Multipooler(input, member));
    specs.push_back(Multiorch(input, cell));
    specs.push_back(Multigateway(input, cell));
  }
  for (const Member& member : MembersOf(input)) {
    if (!member.database.empty()) {
      specs.push_back(Pgctld(input, member));
      specs.push_back(Postgres(input, member));
      specs.push_back(Multipooler(input, member));
    }
  }
  return specs;
}

std::map<std::string, std::string> BaseEnvironment(const std::map<std::string, std::string>& of_agent) {
  std::map<std::string, std::string> environment = {{"LANG", "C.UTF-8"}};
  for (const auto& [key, value] : of_agent) {
    bool wanted = key == "PATH" || key == "HOME" || key == "USER" || key == "LOGNAME" || key == "TZ" ||
                  key == "TMPDIR" || absl::StartsWith(key, "OTEL_") || key == "TRACEPARENT" ||
                  absl::StartsWith(key, "AWS_") || absl::StartsWith(key, "MG_");
    if (wanted) {
      environment[key] = value;
    }
  }
  return environment;
}

int PortOf(const v1::ComponentSpec& spec, const std::string& name) {
  for (const v1::Port& port : spec.ports()) {
    if (port.name() == name) {
      return port.number();
    }
  }
  return 0;
}

std::string PostgresSettings(const config::ClusterConfig& config, int instances, std::uint64_t free_bytes) {
  // A sixteenth of what is free, shared by all servers: the page cache serves a developer's machine better.
  constexpr std::uint64_t kMiB = 1024 * 1024;
  std::uint64_t each = free_bytes / 16 / static_cast<std::uint64_t>(std::max(1, instances)) / kMiB;
  std::map<std::string, std::string> settings = {
      {"shared_buffers", absl::StrCat(std::clamp<std::uint64_t>(each, 16, 256), "MB")},
      {"wal_retrieve_retry_interval", "100ms"},  // the default of 5 s would dominate every warm start
  };
  for (const auto& [key, value] : config.postgres_settings) {
    settings[key] = value;
  }
  std::string text = "# Written by multigres from the cluster's configuration at each start; changes here are lost.\n";
  for (const auto& [key, value] : settings) {
    std::string quoted;
    for (char c : value) {
      quoted += c == '\'' ? std::string("''") : std::string(1, c);
    }
    absl::StrAppend(&text, key, " = '", quoted, "'\n");
  }
  return text;
}

}  // namespace mg::local
