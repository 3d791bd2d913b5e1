#include <cstdlib>

#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace mg::config {
namespace {

std::string ErrorOf(const std::string& text) {
  absl::StatusOr<ClusterConfig> config = ParseConfig(text, "/p/multigres.yaml");
  return config.ok() ? "no error" : std::string(config.status().message());
}

TEST(Config, Nothing_IsTheDefault) {
  ClusterConfig config = *ParseConfig("", "/shop/multigres.yaml");
  EXPECT_EQ(config.name, "shop");
  ASSERT_EQ(config.cells.size(), 3u);
  EXPECT_EQ(config.cells[2].name, "zone3");
  EXPECT_EQ(config.cells[2].topo_root, "/multigres/zone3");
  EXPECT_FALSE(config.cells_given);
}

TEST(Config, OurKeys_AreTaken) {
  absl::StatusOr<ClusterConfig> config = ParseConfig(R"(
name: shop
cells:
  - name: a
    multigateway: {pg-port: 6000}
  - b
postgres:
  password: secret
  settings: {work_mem: 8MB}
  extensions: [pg_trgm]
etcd: {port: 3379}
components: {pgctld: builtin}
)",
                                                     "/p/multigres.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cells.size(), 2u);
  EXPECT_EQ(config->cells[0].multigateway["postgres"].number, 6000);
  EXPECT_TRUE(config->cells[0].multigateway["postgres"].fixed);
  EXPECT_EQ(config->postgres_settings["work_mem"], "8MB");
  EXPECT_EQ(config->init_sql[0], "CREATE EXTENSION IF NOT EXISTS \"pg_trgm\"");
  EXPECT_EQ(config->etcd["client"].number, 3379);
  EXPECT_EQ(config->implementations["pgctld"], "builtin");
}

TEST(Config, WhatIsWrong_IsLocatedAndExplained) {
  EXPECT_EQ(ErrorOf("name: x\ncels: 3\n").substr(0, 48), "/p/multigres.yaml:2:1: unknown key 'cels'; expec");
  EXPECT_EQ(DetailOf(ParseConfig("cels: 3", "f").status())->hint, "did you mean 'cells'?");
  EXPECT_EQ(ErrorOf("cells: many"), "/p/multigres.yaml:1:8: cells: expected a whole number from 1 to 7");
  EXPECT_EQ(ErrorOf("cells: 8"), "/p/multigres.yaml:1:8: cells: 8 is not from 1 to 7");
  EXPECT_EQ(ErrorOf("cells: [a, a]"), "/p/multigres.yaml:1:12: cells: there are two named a");
  EXPECT_EQ(ErrorOf("cells: [a_b]"),
            "/p/multigres.yaml:1:9: cells: expected a name of letters, digits and '-', at most 40, not 'global'");
  EXPECT_EQ(ErrorOf("etcd:\n  port: 70000"), "/p/multigres.yaml:2:9: etcd.port: 70000 is not from 1 to 65535");
  EXPECT_EQ(ErrorOf("postgres: 15"), "/p/multigres.yaml:1:11: postgres: expected keys with values below it");
  EXPECT_EQ(ErrorOf("postgres:\n  version: 13"), "/p/multigres.yaml:2:12: postgres.version: 13 is not from 14 to 17");
  EXPECT_EQ(ErrorOf("log-level: loud"),
            "/p/multigres.yaml:1:12: log-level: 'loud' is not one of: debug, info, warn, error");
  EXPECT_EQ(ErrorOf("name: Shop"),
            "/p/multigres.yaml:1:7: name: 'Shop' is not a cluster name: a lower-case letter, then letters, digits and "
            "'-', at most 40");
  EXPECT_EQ(ErrorOf("name: a\nname: b"), "/p/multigres.yaml:2:1: the key 'name' is there twice");
  EXPECT_EQ(ErrorOf("- a"), "/p/multigres.yaml:1:1: expected keys with values");
  EXPECT_EQ(ErrorOf("a: [").substr(0, 20), "/p/multigres.yaml:1:");
  EXPECT_EQ(ErrorOf("components: {etcd: other}"),
            "/p/multigres.yaml:1:20: components.etcd: expected auto, builtin or an absolute path, not 'other'");
  EXPECT_EQ(ErrorOf("etcd: {port: 5000}\nmultiadmin: {http-port: 5000}"),
            "/p/multigres.yaml: port 5000 is both etcd's client port and multiadmin's http port");
  EXPECT_EQ(ErrorOf("cells: 1\ndurability-policy: MULTI_CELL_AT_LEAST_2"),
            "/p/multigres.yaml:2:20: durability-policy: MULTI_CELL_AT_LEAST_2 needs at least two cells");
}

TEST(Config, UpstreamsFile_IsReadAsItIs) {
  absl::StatusOr<ClusterConfig> config = ParseConfig(R"(
provisioner: local
provisioner-config:
  root-working-dir: ./work
  default-db-name: postgres
  wrong-key: 1
  etcd: {version: 3.5.9, port: 2379}
  topology:
    global-root-path: /multigres/global
    cells:
      - {name: zone1, root-path: /multigres/zone1}
      - {name: zone2, root-path: /multigres/zone2}
  multiadmin: {http-port: 15000, grpc-port: 15070, log-level: debug}
  cells:
    zone1:
      multigateway: {http-port: 15100, grpc-port: 15170, pg-port: 15432}
      multipooler: {service-id: bcdf2467, pooler-dir: /d/pooler_bcdf2467, pg-port: 25432, http-port: 15200, grpc-port: 15270}
      pgctld: {pg-port: 25432, pg-user: admin, pg-password: pw, timeout: 40}
)",
                                                     "/p/multigres.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->upstream_dialect);
  EXPECT_EQ(config->root_dir, "./work");
  EXPECT_EQ(config->cells.size(), 2u);
  EXPECT_EQ(config->cells[0].service_id, "bcdf2467");
  EXPECT_EQ(config->cells[0].pgctld["postgres"].number, 25432);
  EXPECT_EQ(config->postgres_user, "admin");
  EXPECT_EQ(config->postgres_password, "pw");
  EXPECT_EQ(config->pgctld_timeout_seconds, 40);
  EXPECT_EQ(config->log_level, "debug");
  ASSERT_EQ(config->warnings.size(), 1u);
  EXPECT_EQ(config->warnings[0], "/p/multigres.yaml:6:3: unknown key 'provisioner-config.wrong-key' is ignored");
}

TEST(Config, Example_ParsesAsItIsAndWithEveryKeyUncommented) {
  std::string example = CommentedExample("shop");
  absl::StatusOr<ClusterConfig> config = ParseConfig(example, "/p/multigres.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->name, "shop");
  std::string uncommented;
  std::string list;
  for (size_t at = 0; at < example.size();) {
    size_t end = example.find('\n', at);
    std::string line = example.substr(at, end - at);
    at = end + 1;
    if (line.find("Cells as a list") != std::string::npos) {
      break;
    }
    size_t hash = line.find('#');
    if (hash != std::string::npos && line[hash + 1] != ' ') {
      line.erase(hash, 1);
    }
    uncommented += line + "\n";
  }
  absl::StatusOr<ClusterConfig> all = ParseConfig(uncommented, "/p/multigres.yaml");
  EXPECT_TRUE(all.ok()) << all.status() << "\n" << uncommented;
  EXPECT_NE(ConfigSchema().find("\"durability-policy\""), std::string::npos);
}

TEST(Home, IsChosenByTheEnvironment) {
  EXPECT_EQ(FindHome({{"MULTIGRES_HOME", "/m/"}}, 1)->path, "/m");
  EXPECT_TRUE(FindHome({{"MULTIGRES_HOME", "/m"}}, 1)->is_explicit);
  EXPECT_EQ(FindHome({{"XDG_DATA_HOME", "/x"}, {"HOME", "/h"}}, 1)->path, "/x/multigres");
  EXPECT_EQ(FindHome({{"HOME", "/h"}}, 1)->path, "/h/.local/share/multigres");
  EXPECT_EQ(FindHome({{"HOME", "/root"}}, 0)->path, "/var/lib/multigres");
  EXPECT_FALSE(FindHome({}, 1).ok());
  EXPECT_FALSE(FindHome({{"MULTIGRES_HOME", "m"}}, 1).ok());
}

TEST(Place, NearestFileUpwards_Chooses) {
  char name[] = "/tmp/mg-config.XXXXXX";
  std::string root = ::mkdtemp(name);
  ASSERT_TRUE(MakeDirectories(root + "/shop/sub", 0755).ok());
  PlaceRequest request{.working_directory = root + "/shop/sub", .home = "/h"};
  EXPECT_EQ(FindPlace(request)->root_dir, "/h/clusters/default");
  ASSERT_TRUE(WriteFileAtomically(root + "/shop/multigres.yaml", "name: shop\n").ok());
  EXPECT_EQ(FindPlace(request)->root_dir, root + "/shop/.multigres");
  EXPECT_EQ(FindPlace(request)->name, "shop");
  request.home_is_explicit = true;
  EXPECT_EQ(FindPlace(request)->root_dir.find("/h/clusters/shop-"), 0u);
  request.config_path = root + "/nowhere";
  EXPECT_EQ(FindPlace(request).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(RemoveTree(root).ok());
}

}  // namespace
}  // namespace mg::config
