/// Where everything of a cluster is. Draws the tree, and is the only maker of its paths. Pure; any thread.
///
///   <root>/
///     cluster.json                     the record (agentd/store/cluster_store.h)
///     pgpass                           libpq password file, 0600
///     admin-token                      the agent's token for the Admin API, 0600
///     config/postgresql.conf           settings that every PostgreSQL includes
///     config/init-<n>.sql              SQL that runs once on a new cluster
///     data/etcd-data/
///     data/pooler_<service id>/        one per cell and database: pg_data, pg_sockets, run, postgres-password (0600)
///     data/backups/                    the default database's; another one's in <database>.<time>/, which outlives it
///     logs/<component>/current.log     one directory per component, such as logs/multipooler/zone1 or
///                                      logs/multipooler/zone1.shop
///     logs/audit/                      the Admin API's audit log, written by multiadmin
///     run/<component>/                 launch, identity, exit, control.sock of its shim
///     run/chaos.json                   the fault that is in force, so that it can be undone
///     certs/                           pgBackRest's, for upstream components only
///   <home>/
///     clusters.json                    the registry (agentd/store/registry.h)
///     clusters/<name>/                 roots of clusters without a configuration file
#pragma once

#include <string>
#include <vector>

#include "agentd/store/component_name.h"

namespace mg::store {

class Paths {
 public:
  explicit Paths(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string Record() const;
  std::string Passfile() const;
  std::string AdminToken() const;
  std::string Config() const;
  std::string PostgresConf() const;
  std::string InitSql(int number) const;
  std::string Data() const;
  std::string EtcdData() const;
  std::string PoolerDir(const std::string& service_id) const;
  std::string Backups() const;
  std::string Logs() const;
  std::string AuditLogDir() const;
  std::string LogDir(const ComponentName& name) const;
  std::string LogFile(const ComponentName& name) const;
  std::string Run() const;
  std::string RunDir(const ComponentName& name) const;
  std::string Certs() const;
  std::string FaultRecord() const;

 private:
  std::string root_;
};

/// What a pooler directory holds that is known outside of the component.
std::string PostgresData(const std::string& pooler_dir);
std::string PostgresSockets(const std::string& pooler_dir);
std::string PoolerRun(const std::string& pooler_dir);
std::string PasswordFile(const std::string& pooler_dir);

}  // namespace mg::store
