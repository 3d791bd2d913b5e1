#include "tests/integration/shard_sandbox.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/logs/last_lines.h"
#include "common/process/helper.h"
#include "common/process/process_id.h"
#include "common/shim_protocol/shim.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

constexpr char kPassword[] = "secret";
constexpr char kRoot[] = "/multigres/global";

std::string Program(const std::string& name) {
  return absl::StrCat(std::getenv("MULTIGRES_BUILD_DIR"), "/libexec/multigres/", name);
}

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

std::string CellName(int cell) { return absl::StrCat("zone", cell); }

}  // namespace

bool ShardSandbox::Possible() { return PgctldSandbox::Possible() && FindProgram("etcd").ok(); }

ShardSandbox::ShardSandbox(int cells) : cells_(cells) {
  char name[] = "/tmp/mg-shard-XXXXXX";
  directory_ = ::mkdtemp(name);
  EXPECT_EQ(::chmod(directory_.c_str(), 0711), 0);
  // Processes are killed here, never the machine: nothing need reach the disk.
  EXPECT_TRUE(WriteFileAtomically(directory_ + "/test.conf", "fsync = off\n", 0644).ok());
  EXPECT_TRUE(WriteFileAtomically(directory_ + "/password", absl::StrCat(kPassword, "\n")).ok());
}

ShardSandbox::~ShardSandbox() {
  if (testing::Test::HasFailure()) {
    ADD_FAILURE() << Logs();
  }
  for (const char* kind : {"multiorch", "multipooler", "pgctld", "postgres", "etcd"}) {
    for (int cell = 0; cell <= cells_; ++cell) {
      if (Exists(RunDir(kind, cell))) {
        Signal(kind, cell, SIGCONT);
        EXPECT_TRUE(
            shim::StopAndWait(RunDir(kind, cell), {{.signal = std::string(kind) == "postgres" ? SIGQUIT : SIGKILL}})
                .ok());
      }
    }
  }
  EXPECT_TRUE(RemoveTree(directory_).ok());
}

std::string ShardSandbox::RunDir(const std::string& kind, int cell) const {
  return absl::StrCat(directory_, "/run/", kind, cell);
}

std::string ShardSandbox::pooler_dir(int cell) const { return absl::StrCat(directory_, "/pooler", cell); }

int ShardSandbox::Port(const std::string& kind, int cell) {
  int& port = ports_[absl::StrCat(kind, cell)];
  if (port == 0) {
    port = FreePort();
  }
  return port;
}

void ShardSandbox::Launch(const std::string& kind, int cell, std::vector<std::string> argv) {
  shim::LaunchSpec spec;
  spec.name = absl::StrCat(kind, "/", CellName(cell));
  spec.run_dir = RunDir(kind, cell);
  spec.log_dir = absl::StrCat(directory_, "/log/", kind, cell);
  EXPECT_TRUE(MakeDirectories(spec.run_dir, 0700).ok());
  EXPECT_TRUE(MakeDirectories(spec.log_dir, 0700).ok());
  spec.argv = std::move(argv);
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                      absl::StrCat("PGDATA=", pooler_dir(cell), "/pg_data"),
                      absl::StrCat("POSTGRES_PASSWORD_FILE=", directory_, "/password"),
                      absl::StrCat("POSTGRES_INITDB_EXTRA_CONF=", directory_, "/test.conf"),
                      absl::StrCat("MULTIGRES_POSTGRES_RUN_DIR=", RunDir("postgres", cell)),
                      absl::StrCat("MULTIGRES_POSTGRES_LOG_DIR=", directory_, "/log/postgres", cell)};
  spec.working_directory = "/";
  shim::ShimState before = shim::ReadShimState(spec.run_dir);
  spec.generation = before.launch.has_value() ? before.launch->generation + 1 : 1;
  absl::StatusOr<shim::ShimState> state = shim::Launch(Program("multigres-shim"), spec);
  ASSERT_TRUE(state.ok()) << spec.name << ": " << state.status();
}

void ShardSandbox::StartEtcd() {
  std::string client = absl::StrCat("http://127.0.0.1:", Port("etcd-client", 0));
  std::string peer = absl::StrCat("http://127.0.0.1:", Port("etcd-peer", 0));
  Launch("etcd", 0,
         {*FindProgram("etcd"),
          "--name",
          "default",
          "--data-dir",
          directory_ + "/etcd",
          "--listen-client-urls",
          client,
          "--advertise-client-urls",
          client,
          "--listen-peer-urls",
          peer,
          "--initial-advertise-peer-urls",
          peer,
          "--initial-cluster",
          absl::StrCat("default=", peer),
          "--log-outputs",
          "stderr",
          "--heartbeat-interval",
          "20",
          "--election-timeout",
          "100"});
  std::string address = absl::StrCat("127.0.0.1:", Port("etcd-client", 0));
  topology_ = topology::Topology::Create({address}, kRoot);
  clustermetadata::Database database;
  database.set_name("postgres");
  clustermetadata::DurabilityPolicy* policy = database.mutable_bootstrap_durability_policy();
  policy->set_required_count(cells_ > 1 ? 2 : 1);
  policy->set_policy_name(absl::StrCat("AT_LEAST_", policy->required_count()));
  policy->set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  for (int i = 1; i <= cells_; ++i) {
    clustermetadata::Cell cell;
    cell.set_name(CellName(i));
    cell.add_server_addresses(address);
    cell.set_root(absl::StrCat("/multigres/", CellName(i)));
    database.add_cells(cell.name());
    EXPECT_TRUE(Eventually([&] {
      absl::Status status = topology_->CreateCell(cell, Soon());
      return status.ok() || absl::IsAlreadyExists(status);
    }));
  }
  EXPECT_TRUE(topology_->CreateDatabase(database, Soon()).ok());
}

void ShardSandbox::StartPgctld(int cell) {
  EXPECT_TRUE(MakeDirectories(pooler_dir(cell), 0711).ok());
  Launch("pgctld", cell,
         {Program("pgctld"), "server", "--pooler-dir", pooler_dir(cell), "--grpc-port",
          absl::StrCat(Port("pgctld-grpc", cell)), "--http-port", absl::StrCat(Port("pgctld-http", cell)), "--pg-port",
          absl::StrCat(Port("postgres", cell)), "--pg-listen-addresses", "127.0.0.1"});
}

void ShardSandbox::StartPooler(int cell) {
  std::string port = absl::StrCat(Port("postgres", cell));
  Launch("multipooler", cell,
         {Program("multipooler"),
          "--http-port",
          absl::StrCat(Port("pooler-http", cell)),
          "--grpc-port",
          absl::StrCat(Port("pooler-grpc", cell)),
          "--topo-global-server-addresses",
          absl::StrCat("127.0.0.1:", Port("etcd-client", 0)),
          "--topo-global-root",
          kRoot,
          "--cell",
          CellName(cell),
          "--database",
          "postgres",
          "--table-group",
          "default",
          "--shard",
          "0-inf",
          "--service-id",
          absl::StrCat("p", cell),
          "--pgctld-addr",
          absl::StrCat("localhost:", Port("pgctld-grpc", cell)),
          "--pooler-dir",
          pooler_dir(cell),
          "--pg-port",
          port,
          "--hostname",
          "localhost",
          "--socket-file",
          absl::StrCat(pooler_dir(cell), "/pg_sockets/.s.PGSQL.", port)});
}

void ShardSandbox::StartOrch(int cell) {
  Launch("multiorch", cell,
         {Program("multiorch"), "--http-port", absl::StrCat(Port("orch-http", cell)), "--grpc-port",
          absl::StrCat(Port("orch-grpc", cell)), "--topo-global-server-addresses",
          absl::StrCat("127.0.0.1:", Port("etcd-client", 0)), "--topo-global-root", kRoot, "--cell", CellName(cell),
          "--watch-targets", "postgres", "--hostname", "localhost", "--pooler-health-check-interval", "500ms",
          "--recovery-cycle-interval", "500ms"});
}

void ShardSandbox::Up() {
  if (topology_ == nullptr) {
    StartEtcd();
  }
  for (int cell = 1; cell <= cells_; ++cell) {
    StartPgctld(cell);
    StartPooler(cell);
    StartOrch(cell);
  }
}

void ShardSandbox::Stop(const std::string& kind, int cell) {
  absl::Status status =
      shim::StopAndWait(RunDir(kind, cell), {{.signal = SIGTERM, .wait = absl::Seconds(20)}, {.signal = SIGKILL}});
  EXPECT_TRUE(status.ok()) << kind << cell << ": " << status;
}

void ShardSandbox::Down() {
  for (const char* kind : {"multiorch", "multipooler", "pgctld"}) {
    for (int cell = 1; cell <= cells_; ++cell) {
      Stop(kind, cell);
    }
  }
}

void ShardSandbox::Signal(const std::string& kind, int cell, int signal) {
  shim::ShimState state = shim::ReadShimState(RunDir(kind, cell));
  if (state.child_alive) {
    EXPECT_TRUE(SignalProcess(*state.child, signal).ok());
  }
}

void ShardSandbox::Kill(const std::string& kind, int cell) {
  shim::ShimState state = shim::ReadShimState(RunDir(kind, cell));
  ASSERT_TRUE(state.child_alive) << kind << cell;
  ASSERT_TRUE(SignalProcess(*state.child, SIGKILL).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(*state.shim); }));
}

clustermetadata::Multipooler ShardSandbox::Record(int cell) {
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> records = topology_->Poolers(CellName(cell), Soon());
  return records.ok() && records->size() == 1 ? records->front() : clustermetadata::Multipooler();
}

int ShardSandbox::Leader() {
  int leader = 0;
  clustermetadata::RuleNumber highest;
  for (int cell = 1; cell <= cells_; ++cell) {
    clustermetadata::Multipooler record = Record(cell);
    if (record.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
        consensus::Compare(record.routing_state().rule(), highest) > 0) {
      highest = record.routing_state().rule();
      leader = cell;
    }
  }
  return leader;
}

int ShardSandbox::WaitForLeader(std::int64_t term, int standbys, absl::Duration bound) {
  int leader = 0;
  bool found = Eventually(
      [&] {
        leader = Leader();
        return leader != 0 && Record(leader).routing_state().rule().coordinator_term() >= term &&
               Ask(leader, "SELECT pg_is_in_recovery()") == "f" &&
               Ask(leader, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") ==
                   absl::StrCat(standbys);
      },
      bound);
  return found ? leader : 0;
}

absl::StatusOr<std::unique_ptr<pgsql::Connection>> ShardSandbox::Connect(int cell) {
  pgsql::ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = Port("postgres", cell);
  options.user = "postgres";
  options.password = kPassword;
  options.database = "postgres";
  options.application_name = "test";
  return pgsql::Connection::Connect(options, absl::Now() + absl::Seconds(5));
}

std::string ShardSandbox::Ask(int cell, const std::string& sql) {
  absl::StatusOr<std::unique_ptr<pgsql::Connection>> connection = Connect(cell);
  if (!connection.ok()) {
    return std::string(connection.status().message());
  }
  absl::StatusOr<pgsql::Result> result = (*connection)->Execute(sql, Soon());
  return result.ok() ? result->Text(0, 0) : std::string(result.status().message());
}

std::string ShardSandbox::Logs() const {
  std::string text;
  for (const char* kind : {"multiorch", "multipooler", "pgctld", "postgres"}) {
    for (int cell = 1; cell <= cells_; ++cell) {
      absl::StrAppend(
          &text, "== ", kind, cell, "\n",
          absl::StrJoin(logs::LastLinesOfDirectory(absl::StrCat(directory_, "/log/", kind, cell), 15), "\n"), "\n");
    }
  }
  return text;
}

}  // namespace mg::tests
