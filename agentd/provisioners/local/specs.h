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
#include "agentd/store/paths.h"
#include "common/config/cluster_config.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::local {

namespace v1 = multigres::provisioner::v1;

struct SpecInput {
  config::ClusterConfig config;
  store::Paths paths{""};
  PortMap ports;
  Implementations implementations;
  std::map<std::string, std::string> service_ids;  ///< by cell
  std::map<std::string, std::string> socket_dirs;  ///< by cell: where PostgreSQL's Unix socket is
  std::map<std::string, std::string> environment;  ///< what every component gets; see BaseEnvironment
  std::string shim;                                ///< the multigres-shim program
  std::string postgres_version;                    ///< of the server that runs, where known
  bool root = false;
  int init_sql_files = 0;  ///< number of paths.InitSql files
};

/// Directory of the cell's pooler, from the file or by its service id.
std::string PoolerDirOf(const SpecInput& input, const config::CellConfig& cell);
/// The cell's PostgreSQL listens on this Unix socket.
std::string SocketFileOf(const SpecInput& input, const config::CellConfig& cell);

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
