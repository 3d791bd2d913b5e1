#include "agentd/store/paths.h"

#include "absl/strings/str_cat.h"
#include "common/admin_token/admin_token.h"

namespace mg::store {

namespace {

/// Beside the cell's own directory, not in it: a database may be named like a file that is there. Cells have no dots.
std::string DirectoryOf(const ComponentName& name) {
  return name.database.empty() ? name.ToString() : absl::StrCat(name.kind, "/", name.cell, ".", name.database);
}

}  // namespace

std::string Paths::Record() const { return absl::StrCat(root_, "/cluster.json"); }
std::string Paths::Passfile() const { return absl::StrCat(root_, "/pgpass"); }
std::string Paths::AdminToken() const { return absl::StrCat(root_, "/", admin_token::kAgentTokenFile); }
std::string Paths::Config() const { return absl::StrCat(root_, "/config"); }
std::string Paths::PostgresConf() const { return absl::StrCat(Config(), "/postgresql.conf"); }
std::string Paths::InitSql(int number) const { return absl::StrCat(Config(), "/init-", number, ".sql"); }
std::string Paths::Data() const { return absl::StrCat(root_, "/data"); }
std::string Paths::EtcdData() const { return absl::StrCat(Data(), "/etcd-data"); }
std::string Paths::PoolerDir(const std::string& service_id) const {
  return absl::StrCat(Data(), "/pooler_", service_id);
}
std::string Paths::Backups() const { return absl::StrCat(Data(), "/backups"); }
std::string Paths::Logs() const { return absl::StrCat(root_, "/logs"); }
std::string Paths::AuditLogDir() const { return absl::StrCat(Logs(), "/audit"); }
std::string Paths::LogDir(const ComponentName& name) const { return absl::StrCat(Logs(), "/", DirectoryOf(name)); }
std::string Paths::LogFile(const ComponentName& name) const { return absl::StrCat(LogDir(name), "/current.log"); }
std::string Paths::Run() const { return absl::StrCat(root_, "/run"); }
std::string Paths::RunDir(const ComponentName& name) const { return absl::StrCat(Run(), "/", DirectoryOf(name)); }
std::string Paths::Certs() const { return absl::StrCat(root_, "/certs"); }
std::string Paths::FaultRecord() const { return absl::StrCat(Run(), "/chaos.json"); }

std::string PostgresData(const std::string& pooler_dir) { return absl::StrCat(pooler_dir, "/pg_data"); }
std::string PostgresSockets(const std::string& pooler_dir) { return absl::StrCat(pooler_dir, "/pg_sockets"); }
std::string PoolerRun(const std::string& pooler_dir) { return absl::StrCat(pooler_dir, "/run"); }
std::string PasswordFile(const std::string& pooler_dir) { return absl::StrCat(pooler_dir, "/postgres-password"); }

}  // namespace mg::store
