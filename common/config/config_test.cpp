#include <unistd.h>

#include <cstdlib>
#include <map>

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

struct Wrong {
  const char* text;
  const char* error;  ///< without the file's name; the beginning suffices
};

/// What a file of our dialect may get wrong, and what is said to it.
constexpr Wrong kWrong[] = {
    {"name: x\ncels: 3\n", "2:1: unknown key 'cels'; expected one of: backup-path, cells, "},
    {"postgres:\n  usr: x\n", "2:3: unknown key 'postgres.usr'; expected one of: extensions, "},
    {"cells:\n  - name: a\n    multigatway: {}\n", "3:5: unknown key 'multigatway'; expected one of: multigateway, "},
    {"cells: many", "1:8: cells: expected a whole number from 1 to 7"},
    {"cells: 8", "1:8: cells: 8 is not from 1 to 7"},
    {"cells: 0", "1:8: cells: 0 is not from 1 to 7"},
    {"cells: {a: 1}", "1:8: cells: expected a number from 1 to 7, or a list of cells"},
    {"cells: []", "1:8: cells: a cluster has 1 to 7 cells, not 0"},
    {"cells: [a, b, c, d, e, f, g, h]", "1:8: cells: a cluster has 1 to 7 cells, not 8"},
    {"cells: [a, a]", "1:12: cells: there are two named a"},
    {"cells: [a_b]", "1:9: cells: expected a name of letters, digits and '-', at most 40, not 'global', not 'a_b'"},
    {"cells: [global]", "1:9: cells: expected a name of letters"},
    {"cells: [-a]", "1:9: cells: expected a name of letters"},
    {"cells:\n  - service-id: x", "2:5: cells: expected a name for each cell"},
    {"cells:\n  - name: [a]", "2:11: cells.name: expected a text"},
    {"cells:\n  - {name: a, service-id: x}\n  - {name: b, service-id: x}",
     "3:5: cells: there are two with the service-id x"},
    {"cells:\n  - name: a\n    pgctld: 7", "3:13: cells.pgctld: expected keys with values below it"},
    {"etcd:\n  port: 70000", "2:9: etcd.port: 70000 is not from 1 to 65535"},
    {"etcd:\n  port: [1]", "2:9: etcd.port: expected a whole number from 1 to 65535"},
    {"etcd:\n  port: 1.5", "2:9: etcd.port: expected a whole number from 1 to 65535"},
    {"etcd: 5", "1:7: etcd: expected keys with values below it"},
    {"postgres: 15", "1:11: postgres: expected keys with values below it"},
    {"postgres:\n  version: 13", "2:12: postgres.version: 13 is not from 14 to 17"},
    {"postgres:\n  user: pg_me", "2:9: postgres.user: expected a letter, "},
    {"postgres:\n  run-as: root", "2:11: postgres.run-as: expected a user's name, not root"},
    {"postgres:\n  password: ''", "2:13: postgres.password: expected one line that is not empty"},
    {"postgres:\n  password: \"a\\nhidden\"", "2:13: postgres.password: expected one line that is not empty"},
    {"postgres:\n  password:", "2:3: postgres.password: expected a value, not nothing"},
    {"postgres:\n  password-file: /nowhere/x", "2:18: postgres.password-file: expected a file: "},
    {"postgres:\n  password: a\n  password-file: /dev/null", "3:18: postgres.password-file: expected one line"},
    {"postgres:\n  settings: [a]", "2:13: postgres.settings: expected keys with values below it"},
    {"postgres:\n  settings:\n    port: 1", "3:5: postgres.settings.port is set by multigres itself"},
    {"postgres:\n  settings:\n    work mem: 1",
     "3:5: postgres.settings: expected the name of a setting, not 'work mem'"},
    {"postgres:\n  settings:\n    work_mem: \"1\\n2\"", "3:15: postgres.settings.work_mem: expected one line"},
    {"postgres:\n  settings:\n    work_mem: [1]", "3:15: postgres.settings.work_mem: expected a text"},
    {"postgres:\n  initdb-args: [-A trust]",
     "2:17: postgres.initdb-args: expected an argument without blanks or commas"},
    {"postgres:\n  extensions: pg_trgm", "2:15: postgres.extensions: expected a list"},
    {"postgres:\n  init-sql: ['']", "2:14: postgres.init-sql: expected SQL that is not empty"},
    {"log-level: loud", "1:12: log-level: 'loud' is not one of: debug, info, warn, error"},
    {"name: Shop",
     "1:7: name: expected a lower-case letter, then lower-case letters, digits and '-', at most 40, not "},
    {"name: ../../etc", "1:7: name: expected a lower-case letter"},
    {"name: [a]", "1:7: name: expected a text"},
    {"name: a\nname: b", "2:1: the key 'name' is there twice"},
    {"etcd: {port: 1, port: 2}", "1:17: the key 'port' is there twice"},
    {"? [a]\n: b", "1:3: expected a key"},
    {"- a", "1:1: expected keys with values"},
    {"a: [", "1:1: this is not YAML: "},
    {"name: a\n---\nname: b", "3:1: expected one document, and here begins another"},
    {"database: template1", "1:11: database: expected a letter"},
    {"backup-path: here", "1:14: backup-path: expected an absolute path, not 'here'"},
    {"components: {etcd: other}",
     "1:20: components.etcd: expected auto or an absolute path; there is no built-in etcd, not 'other'"},
    {"components: {etc: auto}", "1:14: unknown key 'components.etc'; expected one of: etcd, "},
    {"multiadmin: {auth: mtls}", "1:20: multiadmin.auth: 'mtls' is not one of: token, none"},
    {"etcd: {port: 5000}\nmultiadmin: {http-port: 5000}",
     "2:25: port 5000 is given twice: for etcd.port and for multiadmin.http-port"},
    {"ports: {multigateway: {pg-port: 5000}}\netcd: {port: 5002}",
     "2:14: port 5002 is given twice: for etcd.port and for multigateway/zone3 pg-port"},
    {"ports: {multigateway: {pg-port: 65535}}",
     "1:33: ports.multigateway.pg-port: cell zone2 would get port 65536, beyond 65535"},
    {"cells: 1\ndurability-policy: MULTI_CELL_AT_LEAST_2",
     "2:20: durability-policy: MULTI_CELL_AT_LEAST_2 needs at least two cells"},
};

TEST(Config, WhatIsWrong_IsLocatedAndExplained) {
  for (const Wrong& wrong : kWrong) {
    std::string error = ErrorOf(wrong.text);
    std::string expected = std::string("/p/multigres.yaml:") + wrong.error;
    EXPECT_EQ(error.substr(0, expected.size()), expected) << wrong.text << "\n" << error;
    EXPECT_EQ(error.find("hidden"), std::string::npos) << error;
  }
  EXPECT_EQ(DetailOf(ParseConfig("cels: 3", "f").status())->hint, "did you mean 'cells'?");
  EXPECT_EQ(DetailOf(ParseConfig("log-level: inf", "f").status())->hint, "did you mean 'info'?");
}

TEST(Config, WhatWouldExplode_IsRefused) {
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    laughs += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) {
      laughs += std::string(i == 0 ? "" : ", ") + "*" + static_cast<char>(c - 1);
    }
    laughs += "]\n";
  }
  EXPECT_NE(ErrorOf(laughs).find("nested too deeply or too large"), std::string::npos);
  EXPECT_NE(ErrorOf("name: " + std::string(2 << 20, 'a')).find("larger than 1 MiB"), std::string::npos);
  EXPECT_NE(ErrorOf("name: " + std::string(100000, 'a')).find("expected a lower-case letter"), std::string::npos);
}

TEST(Config, Ports_OfTheFirstCell_SpreadOverAll) {
  absl::StatusOr<ClusterConfig> config = ParseConfig(R"(
cells: [a, {name: b, multigateway: {pg-port: 9000}}, c]
ports:
  multigateway: {pg-port: 6000}
)",
                                                     "/p/multigres.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cells[0].multigateway["postgres"].number, 6000);
  EXPECT_EQ(config->cells[1].multigateway["postgres"].number, 9000);
  EXPECT_EQ(config->cells[2].multigateway["postgres"].number, 6002);
  EXPECT_TRUE(config->cells[2].multigateway["postgres"].fixed);
  EXPECT_EQ(config->cells[2].multigateway["http"].number, 0);
}

TEST(Config, PasswordFile_IsReadFromBesideTheFile) {
  char name[] = "/tmp/mg-config.XXXXXX";
  std::string root = ::mkdtemp(name);
  ASSERT_TRUE(WriteFileAtomically(root + "/secret", "s3cret\n", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(root + "/multigres.yaml", "postgres: {password-file: secret}\n").ok());
  absl::StatusOr<ClusterConfig> config = LoadConfig(root + "/multigres.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->postgres_password, "s3cret");
  EXPECT_TRUE(config->warnings.empty());
  ASSERT_TRUE(WriteFileAtomically(root + "/secret", "s3cret\n", 0644).ok());
  EXPECT_EQ(LoadConfig(root + "/multigres.yaml")->warnings.size(), 1u);
  EXPECT_EQ(LoadConfig(root + "/nothing.yaml").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(RemoveTree(root).ok());
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

TEST(Config, UpstreamsFile_WhenWrong_IsLocatedAndExplained) {
  std::string head = "provisioner: local\nprovisioner-config:\n";
  std::string zone = head + "  topology: {cells: [{name: zone1, root-path: /r}]}\n  cells:\n    zone1:\n";
  for (auto& [text, error] : std::map<std::string, std::string>{
           {"provisioner: docker\nprovisioner-config: {}", "1:14: provisioner: expected local, not 'docker'"},
           {"provisioner-config: {}", "1:21: expected the key 'provisioner: local' beside provisioner-config"},
           {"provisioner: local\nprovisioner-config: 1", "2:21: provisioner-config: expected keys with values"},
           {head + "  etcd: {port: x}", "3:16: etcd.port: expected a whole number"},
           {head + "  etcd: 5", "3:9: etcd: expected keys with values"},
           {head + "  default-db-name: ''", "3:20: default-db-name: expected a letter"},
           {head + "  backup: {type: tape}", "3:18: backup.type: expected local or s3, not 'tape'"},
           {head + "  topology: {cells: []}", "3:21: topology.cells: expected a list of 1 to 7 cells"},
           {head + "  topology: {cells: [{name: a_b, root-path: /r}]}", "3:22: topology.cells: expected a root-path"},
           {head + "  topology: {cells: [{name: a, root-path: /r}, {name: a, root-path: /q}]}",
            "3:48: topology.cells: there are two named a"},
           {zone + "      multipooler: {table-group: x}",
            "6:34: cells.zone1.multipooler.table-group: only 'default' is supported, not 'x'"},
           {zone + "      multipooler: {pg-port: 1}\n      pgctld: {pg-port: 2}",
            "6:30: cells.zone1.multipooler.pg-port: expected the same as cells.zone1.pgctld.pg-port, which is '2'"},
           {zone + "      multigateway: {pg-port: 2379}\n  etcd: {port: 2379}",
            "7:16: port 2379 is given twice: for etcd port and for multigateway/zone1 pg-port"}}) {
    std::string expected = "/p/multigres.yaml:" + error;
    EXPECT_EQ(ErrorOf(text).substr(0, expected.size()), expected) << text << "\n" << ErrorOf(text);
  }
  absl::StatusOr<ClusterConfig> noted = ParseConfig(zone + "      pgctld: {prt: 1}\n", "f");
  ASSERT_TRUE(noted.ok()) << noted.status();
  ASSERT_EQ(noted->warnings.size(), 1u);
  EXPECT_EQ(noted->warnings[0], "f:6:16: unknown key 'cells.zone1.pgctld.prt' is ignored");
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
}

TEST(Config, Schema_HasEveryKeyOfTheExample) {
  absl::StatusOr<ClusterConfig> as_file = ParseConfig(ConfigSchema(), "schema");  // JSON is YAML
  EXPECT_NE(as_file.status().message().find("unknown key '$schema'"), std::string::npos) << as_file.status();
  for (const char* key :
       {"durability-policy", "password-file", "pg-replica-port", "init-sql", "additionalProperties"}) {
    EXPECT_NE(ConfigSchema().find("\"" + std::string(key) + "\""), std::string::npos) << key;
  }
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
  ASSERT_EQ(::symlink((root + "/shop").c_str(), (root + "/multigres_local").c_str()), 0);
  const ClusterPlace place = *FindPlace(request);
  for (const char* way : {"/multigres_local", "/multigres_local/multigres.yaml"}) {
    request.config_path = root + way;
    EXPECT_EQ(FindPlace(request)->root_dir, place.root_dir) << "one file is one cluster";
  }
  request.config_path = "";
  request.working_directory = root;
  EXPECT_EQ(FindPlace(request)->config_file, root + "/shop/multigres.yaml");
  request.working_directory = root + "/shop/sub";
  request.name = "../up";
  EXPECT_EQ(FindPlace(request).status().code(), absl::StatusCode::kInvalidArgument);
  request.name = "";
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown((root + "/shop/multigres.yaml").c_str(), 65534, 65534), 0);
    EXPECT_EQ(FindPlace(request).status().code(), absl::StatusCode::kPermissionDenied);
    request.config_path = root + "/shop";
    EXPECT_TRUE(FindPlace(request).ok()) << "a file that is named is trusted";
  }
  request.config_path = root + "/nowhere";
  EXPECT_EQ(FindPlace(request).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(RemoveTree(root).ok());
}

}  // namespace
}  // namespace mg::config
