#include "agentd/provisioners/local/specs.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/provisioners/local/model_for_tests.h"

namespace mg::local {
namespace {

/// Three cells in /srv/mg with the documented ports.
SpecInput Input(bool root = false) { return InputForTests(3, "/srv/mg", root); }

v1::ComponentSpec SpecOf(const SpecInput& input, const std::string& name) {
  for (const v1::ComponentSpec& spec : MakeSpecs(input)) {
    if (spec.name() == name) {
      return spec;
    }
  }
  ADD_FAILURE() << "no component " << name;
  return {};
}

std::string CommandLine(const SpecInput& input, const std::string& name) {
  return absl::StrJoin(SpecOf(input, name).argv(), " ");
}

std::string EnvironmentOf(const v1::ComponentSpec& spec) {
  return absl::StrJoin(spec.environment(), "\n", [](std::string* out, const v1::EnvironmentVariable& variable) {
    absl::StrAppend(out, variable.name(), "=", variable.value());
  });
}

TEST(MakeSpecs_, ForEtcd_IsTheContractsCommandLineOnLoopback) {
  EXPECT_EQ(CommandLine(Input(), "etcd"),
            "/usr/bin/etcd --name default --data-dir /srv/mg/data/etcd-data"
            " --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379"
            " --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380"
            " --initial-cluster default=http://127.0.0.1:2380 --initial-cluster-state new"
            " --listen-metrics-urls http://127.0.0.1:2381 --logger zap --log-outputs stderr");
}

TEST(MakeSpecs_, ForMultiadmin_IsTheContractsCommandLine) {
  EXPECT_EQ(CommandLine(Input(), "multiadmin"),
            "/opt/multiadmin --http-port 15000 --grpc-port 15070 --topo-global-server-addresses localhost:2379"
            " --topo-global-root /multigres/global --log-level info --log-output stdout --service-map grpc-multiadmin"
            " --hostname localhost --bind-address 127.0.0.1 --grpc-bind-address 127.0.0.1 --auth token"
            " --auth-token-file /srv/mg/admin-token --audit-log-dir /srv/mg/logs/audit");
}

TEST(MakeSpecs_, ForMultiadmin_TokensAreForOursAndWhereTheyAreWanted) {
  SpecInput input = Input();
  input.config.admin_auth = "none";
  EXPECT_TRUE(absl::EndsWith(CommandLine(input, "multiadmin"), " --auth none --audit-log-dir /srv/mg/logs/audit"));
  input.config.admin_auth = "token";
  input.implementations[store::kMultiadmin].is_builtin = false;
  EXPECT_TRUE(absl::EndsWith(CommandLine(input, "multiadmin"), " --grpc-bind-address 127.0.0.1"));
}

TEST(MakeSpecs_, ForPgctld_IsTheContractsCommandLine) {
  EXPECT_EQ(CommandLine(Input(), "pgctld/zone2"),
            "/opt/pgctld server --pooler-dir /srv/mg/data/pooler_bcdf2462 --grpc-port 15471 --http-port 15401"
            " --pg-port 25433 --pg-database postgres --pg-user postgres --timeout 30 --log-level info"
            " --log-output stdout --pgbackrest-port 18433 --pgbackrest-cert-dir /srv/mg/certs"
            " --bind-address 127.0.0.1 --grpc-bind-address 127.0.0.1 --pg-listen-addresses 127.0.0.1");
}

TEST(MakeSpecs_, ForMultipooler_IsTheContractsCommandLine) {
  EXPECT_EQ(CommandLine(Input(), "multipooler/zone1"),
            "/opt/multipooler --http-port 15200 --grpc-port 15270 --topo-global-server-addresses localhost:2379"
            " --topo-global-root /multigres/global --cell zone1 --database postgres --table-group default"
            " --shard 0-inf --service-id bcdf2461 --pgctld-addr localhost:15470 --log-level info --log-output stdout"
            " --pooler-dir /srv/mg/data/pooler_bcdf2461 --pg-port 25432 --hostname localhost"
            " --socket-file /srv/mg/data/pooler_bcdf2461/pg_sockets/.s.PGSQL.25432 --service-map grpc-pooler"
            " --pgbackrest-cert-file /srv/mg/certs/pgbackrest.crt --pgbackrest-key-file /srv/mg/certs/pgbackrest.key"
            " --pgbackrest-ca-file /srv/mg/certs/ca.crt --pgbackrest-port 18432"
            " --bind-address 127.0.0.1 --grpc-bind-address 127.0.0.1");
}

TEST(MakeSpecs_, ForMultiorch_IsTheContractsCommandLine) {
  EXPECT_EQ(CommandLine(Input(), "multiorch/zone3"),
            "/opt/multiorch --http-port 15302 --grpc-port 15372 --topo-global-server-addresses localhost:2379"
            " --topo-global-root /multigres/global --cell zone3 --watch-targets postgres --log-level info"
            " --log-output stdout --hostname localhost --pooler-health-check-interval 250ms"
            " --recovery-cycle-interval 250ms --bind-address 127.0.0.1 --grpc-bind-address 127.0.0.1");
}

TEST(MakeSpecs_, ForMultigateway_IsTheContractsCommandLineWithAReadOnlyPort) {
  EXPECT_EQ(CommandLine(Input(), "multigateway/zone1"),
            "/opt/multigateway --http-port 15100 --grpc-port 15170 --pg-port 15432"
            " --topo-global-server-addresses localhost:2379 --topo-global-root /multigres/global --cell zone1"
            " --log-level info --log-output stdout --hostname localhost --bind-address 127.0.0.1"
            " --grpc-bind-address 127.0.0.1 --pg-bind-address 127.0.0.1 --pg-replica-port 15532");
}

TEST(MakeSpecs_, ForALaterDatabase_AreItsOwnServersAndOneMoreThingToWatch) {
  SpecInput input = Input();
  AddDatabase(&input, "shop", {"zone1", "zone3"});
  EXPECT_EQ(MakeSpecs(input).size(), MakeSpecs(Input()).size() + 6);
  EXPECT_TRUE(absl::StrContains(CommandLine(input, "multiorch/zone2"), " --watch-targets postgres,shop "));
  EXPECT_EQ(CommandLine(input, "pgctld/zone1"), CommandLine(Input(), "pgctld/zone1"));
  EXPECT_EQ(CommandLine(input, "multigateway/zone1"), CommandLine(Input(), "multigateway/zone1"));
  v1::ComponentSpec pooler = SpecOf(input, "multipooler/zone3/shop");
  EXPECT_EQ(pooler.cell(), "zone3");
  EXPECT_EQ(pooler.database(), "shop");
  std::string line = absl::StrJoin(pooler.argv(), " ");
  EXPECT_TRUE(absl::StrContains(line, " --cell zone3 --database shop --table-group default ")) << line;
  EXPECT_TRUE(absl::StrContains(line, " --pooler-dir /srv/mg/data/pooler_shop1 --pg-port 26433 ")) << line;
  std::string pgctld = CommandLine(input, "pgctld/zone3/shop");
  EXPECT_TRUE(absl::StrContains(pgctld, " --pg-database shop ")) << pgctld;
  input.databases[0].leaving = true;
  EXPECT_TRUE(absl::StrContains(CommandLine(input, "multiorch/zone2"), " --watch-targets postgres "));
}

TEST(MakeSpecs_, ForMultiadmin_TheProvisionerIsGivenWhereThereIsOne) {
  SpecInput input = Input();
  input.config.name = "one";
  input.provisioner = "unix:/run/agent.sock";
  EXPECT_TRUE(absl::EndsWith(CommandLine(input, "multiadmin"),
                             " --provisioner unix:/run/agent.sock --provisioner-cluster one"));
  input.implementations[store::kMultiadmin].is_builtin = false;
  EXPECT_FALSE(absl::StrContains(CommandLine(input, "multiadmin"), "--provisioner"));
}

TEST(MakeSpecs_, ForPgctld_GivesItsEnvironmentByFilesAndNames) {
  SpecInput input = Input();
  input.config.initdb_args = {"--locale-provider=libc", "--wal-segsize=16"};
  input.init_sql_files = 2;
  EXPECT_EQ(EnvironmentOf(SpecOf(input, "pgctld/zone1")),
            "PATH=/usr/bin\n"
            "PGDATA=/srv/mg/data/pooler_bcdf2461/pg_data\n"
            "POSTGRES_PASSWORD_FILE=/srv/mg/data/pooler_bcdf2461/postgres-password\n"
            "POSTGRES_INITDB_EXTRA_CONF=/srv/mg/config/postgresql.conf\n"
            "POSTGRES_INITDB_ARGS=--locale-provider=libc --wal-segsize=16\n"
            "POSTGRES_INITDB_SQL_FILES=/srv/mg/config/init-1.sql,/srv/mg/config/init-2.sql\n"
            "MULTIGRES_SHIM=/opt/multigres-shim\n"
            "MULTIGRES_POSTGRES_RUN_DIR=/srv/mg/run/postgres/zone1\n"
            "MULTIGRES_POSTGRES_LOG_DIR=/srv/mg/logs/postgres/zone1\n"
            "MULTIGRES_POSTGRES_NAME=postgres/zone1\n"
            "MULTIGRES_POSTGRES_VERSION=0");
}

TEST(MakeSpecs_, WhenRoot_NamesTheUserForPostgres) {
  EXPECT_NE(EnvironmentOf(SpecOf(Input(true), "pgctld/zone1")).find("MULTIGRES_RUN_AS=postgres"), std::string::npos);
  EXPECT_NE(EnvironmentOf(SpecOf(Input(true), "multipooler/zone1")).find("MULTIGRES_RUN_AS=postgres"),
            std::string::npos);
  EXPECT_EQ(SpecOf(Input(true), "postgres/zone1").run_as(), "postgres");
  EXPECT_EQ(EnvironmentOf(SpecOf(Input(false), "pgctld/zone1")).find("MULTIGRES_RUN_AS"), std::string::npos);
}

TEST(MakeSpecs_, ForOneToSevenCells_NamesEveryComponentOnceAndRefersOnlyToKnownOnes) {
  SpecInput input = Input();
  std::vector<v1::ComponentSpec> specs = MakeSpecs(input);
  ASSERT_EQ(specs.size(), 17u);
  std::set<std::string> names;
  for (const v1::ComponentSpec& spec : specs) {
    EXPECT_TRUE(names.insert(spec.name()).second) << spec.name();
  }
  for (const v1::ComponentSpec& spec : specs) {
    for (const std::string& before : spec.after()) {
      EXPECT_TRUE(names.count(before)) << spec.name() << " after " << before;
    }
    EXPECT_EQ(spec.observed_only(), spec.kind() == v1::COMPONENT_KIND_POSTGRES) << spec.name();
    EXPECT_EQ(spec.argv().empty(), spec.observed_only()) << spec.name();
    for (const std::string& word : spec.argv()) {
      EXPECT_EQ(word.find("0.0.0.0"), std::string::npos) << spec.name() << " listens beyond loopback";
    }
  }
}

TEST(BaseEnvironment_, KeepsLittleOfTheAgentsOwn) {
  std::map<std::string, std::string> environment = BaseEnvironment({{"PATH", "/bin"},
                                                                    {"HOME", "/root"},
                                                                    {"LANG", "tr_TR"},
                                                                    {"PGDATA", "/elsewhere"},
                                                                    {"SECRET_TOKEN", "x"},
                                                                    {"OTEL_SERVICE_NAME", "s"}});
  EXPECT_EQ(environment, (std::map<std::string, std::string>{
                             {"PATH", "/bin"}, {"HOME", "/root"}, {"LANG", "C.UTF-8"}, {"OTEL_SERVICE_NAME", "s"}}));
}

TEST(PostgresSettings_, SizesMemoryByMachineAndInstances) {
  config::ClusterConfig config;
  constexpr std::uint64_t kGiB = 1ull << 30;
  EXPECT_NE(PostgresSettings(config, 3, 8 * kGiB).find("shared_buffers = '170MB'"), std::string::npos);
  EXPECT_NE(PostgresSettings(config, 7, kGiB / 2).find("shared_buffers = '16MB'"), std::string::npos);
  EXPECT_NE(PostgresSettings(config, 1, 64 * kGiB).find("shared_buffers = '256MB'"), std::string::npos);
}

TEST(PostgresSettings_, WhatTheFileSays_WinsAndIsQuoted) {
  config::ClusterConfig config;
  config.postgres_settings = {{"shared_buffers", "1GB"}, {"search_path", "it's"}};
  std::string text = PostgresSettings(config, 1, 1ull << 33);
  EXPECT_NE(text.find("shared_buffers = '1GB'\n"), std::string::npos) << text;
  EXPECT_NE(text.find("search_path = 'it''s'\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace mg::local
