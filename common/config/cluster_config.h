/// The configuration of one cluster as values: from no file at all, from our multigres.yaml, or from upstream's file.
/// Pure values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace mg::config {

/// Which program implements a component: `auto`, `builtin`, or an absolute path.
using Implementation = std::string;

/// Ports of one component by name (http, grpc, postgres, client, peer, metrics, pgbackrest); 0 or absent: chosen by the
/// provisioner from the documented default. A port that the file gives is `fixed`: busy is an error.
struct PortWish {
  int number = 0;
  bool fixed = false;
};
using Ports = std::map<std::string, PortWish>;

struct CellConfig {
  std::string name;                                    ///< zone1
  std::string topo_root;                               ///< /multigres/zone1
  std::string service_id;                              ///< of the multipooler; empty: chosen once and kept in the state
  std::string pooler_dir;                              ///< empty: <root>/data/pooler_<service_id>
  Ports multigateway, multipooler, multiorch, pgctld;  ///< pgctld's `postgres` is PostgreSQL's port
};

struct ClusterConfig {
  std::string name = "default";  ///< lower-case letters, digits, '-'
  std::string source;            ///< path of the file; empty: defaults
  bool upstream_dialect = false;
  std::vector<std::string> warnings;  ///< unknown keys of upstream's dialect, with file:line:column
  std::string root_dir;               ///< upstream's root-working-dir; empty: decided by where the cluster lives

  std::vector<CellConfig> cells;      ///< one to seven, in order
  bool cells_given = false;           ///< the file says which (so --cells does not apply)
  std::string database = "postgres";  ///< default-db-name
  std::string global_topo_root = "/multigres/global";
  std::string durability_policy;  ///< AT_LEAST_2, MULTI_CELL_AT_LEAST_2; empty: AT_LEAST_2, with one cell local commit

  Ports etcd;                        ///< client, peer, metrics
  Ports multiadmin;                  ///< http, grpc
  std::string admin_auth = "token";  ///< token or none; upstream's multiadmin asks nobody

  std::map<std::string, Implementation> implementations;  ///< by kind; absent: auto
  std::map<std::string, std::string> restart;             ///< by kind: always, on-failure, never; absent: always
  std::string log_level = "info";
  // Log files, in MB and by number: of each component, rotated at a size, and of the cluster together.
  int log_file_mb = 16, log_files = 8, log_total_mb = 1024;

  // PostgreSQL
  std::string postgres_user = "postgres";                ///< superuser role
  std::string postgres_password = "postgres";            ///< never printed
  std::string run_as = "postgres";                       ///< OS user for PostgreSQL when the agent is root
  std::map<std::string, std::string> postgres_settings;  ///< written into postgresql.conf
  std::vector<std::string> initdb_args;
  std::vector<std::string> init_sql;  ///< SQL run once on a new cluster, as the superuser
  int postgres_version = 0;           ///< major; 0: newest installed for new data
  int pgctld_timeout_seconds = 30;

  std::string backup_path;  ///< file system backup location; empty: <root>/data/backups
};

/// No file: `cells` cells named zone1, zone2 …
ClusterConfig DefaultConfig(int cells = 3);

/// Reads a file of either dialect. Errors are INVALID_ARGUMENT with "file:line:column: <what was expected>"; NOT_FOUND.
absl::StatusOr<ClusterConfig> LoadConfig(const std::string& path);
/// The same from text; `path` is used in messages.
absl::StatusOr<ClusterConfig> ParseConfig(const std::string& text, const std::string& path);

/// Where a cluster lives and what configures it.
struct ClusterPlace {
  std::string name;         ///< default, or the file's name key, or its directory's name
  std::string root_dir;     ///< everything that the cluster writes
  std::string config_file;  ///< empty: none
};

struct PlaceRequest {
  std::string name;               ///< --cluster
  std::string config_path;        ///< --config-path: a directory or a file
  std::string working_directory;  ///< absolute
  std::string home;               ///< MULTIGRES_HOME's value or default, absolute
  bool home_is_explicit = false;
};

/// DESIGN 10: --config-path, MTDATAROOT (passed by the caller as config_path), ./multigres_local, then the nearest
/// multigres.yaml upwards, else the default cluster below home. With a file: data in .multigres/ beside it, unless home
/// is explicit (then <home>/clusters/<name>-<8 hex of the path>) or root-working-dir says otherwise. Without:
/// <home>/clusters/<name>.
absl::StatusOr<ClusterPlace> FindPlace(const PlaceRequest& request);
/// Only the file that it would read; empty: none.
absl::StatusOr<std::string> FindConfigFile(const PlaceRequest& request);

/// MULTIGRES_HOME, else $XDG_DATA_HOME/multigres, else /var/lib/multigres for root (whose home other users cannot
/// enter), else
/// ~/.local/share/multigres.
struct Home {
  std::string path;
  bool is_explicit = false;
};
absl::StatusOr<Home> FindHome(const std::map<std::string, std::string>& environment, unsigned uid);

/// The commented file that `multigres init` writes.
std::string CommentedExample(const std::string& cluster_name);
/// JSON Schema of our dialect.
std::string ConfigSchema();

}  // namespace mg::config
