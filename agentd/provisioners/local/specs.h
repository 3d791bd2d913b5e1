/// What to run, exactly: one v1::ComponentSpec per component, as a pure function of the configuration and of what was
/// chosen for it. The command lines are upstream's (contract/components.md, section 2) but for loopback addresses, logs
/// on stdout and the read-only port of our own gateway; golden tests hold them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/implementation.h"
#include "agentd/provisioners/local/ports.h"
#include "agentd/store/component_name.h"
#include "agentd/store/paths.h"
#include "common/config/cluster_config.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::local {

namespace v1 = multigres::provisioner::v1;

/// A database beyond the cluster's default one.
struct LaterDatabase {
  std::string name;
  std::vector<std::string> cells;  ///< in the cluster's order
  std::string durability_policy;   ///< empty: as the cluster's
  bool initialised = false;        ///< was brought up once
  bool leaving = false;            ///< is being deleted: nobody watches it any more
  std::string backup_directory;    ///< of its backups, below BackupsOf
  std::string restore_backup_id;   ///< the backup there that it begins with; empty: it begins empty
};

/// One database in one cell: a PostgreSQL with its pgctld and pooler.
struct Member {
  std::string cell;
  std::string database = {};  ///< empty: the cluster's default one

  std::string Place() const { return store::ComponentName{"", cell, database}.Place(); }
};

struct SpecInput {
  config::ClusterConfig config;
  store::Paths paths{""};
  PortMap ports;
  Implementations implementations;
  std::vector<LaterDatabase> databases;            ///< by name
  std::map<std::string, std::string> service_ids;  ///< by Member::Place
  std::map<std::string, std::string> socket_dirs;  ///< by Member::Place: where PostgreSQL's Unix socket is
  std::string provisioner;                         ///< where multiadmin finds the Provisioner API; empty: nowhere
  std::map<std::string, std::string> environment;  ///< what every component gets; see BaseEnvironment
  std::string shim;                                ///< the multigres-shim program
  std::string postgres_version;                    ///< of the server that runs, where known
  bool root = false;
  int init_sql_files = 0;  ///< number of paths.InitSql files
};

/// Every member: the default database's cell by cell, then the later databases'.
std::vector<Member> MembersOf(const SpecInput& input);
/// Directory of the member's pooler, from the file or by its service id.
std::string PoolerDirOf(const SpecInput& input, const Member& member);
/// The member's PostgreSQL listens on this Unix socket.
std::string SocketFileOf(const SpecInput& input, const Member& member);
/// Where the cluster's backups are; a later database's in its own directory there.
std::string BackupsOf(const SpecInput& input);
/// What the member's database is called.
std::string DatabaseOf(const SpecInput& input, const Member& member);
/// The component of another kind at a component's place: of `multipooler/zone1/shop` the pgctld is
/// `pgctld/zone1/shop`.
std::string SiblingOf(const v1::ComponentSpec& spec, const std::string& kind);

/// The Admin API asks callers for a token: the configuration wants it, and the program is ours.
bool AsksForToken(const SpecInput& input);
/// The token that the agent shows to it; empty where it asks for none. FAILED_PRECONDITION when its file is missing.
absl::StatusOr<std::string> ReadAdminToken(const SpecInput& input);

/// All components, each after those it depends on by kind.
std::vector<v1::ComponentSpec> MakeSpecs(const SpecInput& input);

/// A small, known environment: PATH, HOME, the time zone, a UTF-8 locale, and what belongs to tracing, cloud
/// credentials and tests. Nothing else of the agent's own environment reaches a component.
std::map<std::string, std::string> BaseEnvironment(const std::map<std::string, std::string>& of_agent);

/// The number of a port of a spec; 0: it has none of that name.
int PortOf(const v1::ComponentSpec& spec, const std::string& name);

/// PostgreSQL settings of the cluster as postgresql.conf lines: memory for `instances` servers on a machine with
/// `free_bytes` to spare, then what the file says.
std::string PostgresSettings(const config::ClusterConfig& config, int instances, std::uint64_t free_bytes);

}  // namespace mg::local
