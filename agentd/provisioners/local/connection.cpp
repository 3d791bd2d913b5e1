#include "agentd/provisioners/local/connection.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/provisioners/local/named.h"
#include "agentd/provisioners/local/single.h"
#include "common/pgwire/client.h"
#include "common/status/status.h"
#include "common/text/suggest.h"

namespace mg::local {
namespace {

constexpr absl::Duration kAskBound = absl::Seconds(2);

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The databases of the default database's PostgreSQL, as the gateway's port reaches them.
absl::StatusOr<std::vector<std::string>> OwnDatabases(const Model& model, int port) {
  const config::ClusterConfig& config = model.input.config;
  const absl::Time deadline = absl::Now() + kAskBound;
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgwire::Client> client,
                      pgwire::Client::Connect({.port = port,
                                               .user = config.postgres_user,
                                               .database = config.database,
                                               .password = config.postgres_password,
                                               .application_name = "multigres-connection"},
                                              deadline));
  MG_ASSIGN_OR_RETURN(std::vector<pgwire::Client::Row> rows,
                      client->Query("SELECT datname FROM pg_database WHERE datallowconn", deadline));
  std::vector<std::string> names;
  for (const pgwire::Client::Row& row : rows) {
    names.push_back(row.at(0).value_or(""));
  }
  return names;
}

}  // namespace

absl::Status CheckDatabase(const std::string& name, const std::vector<std::string>& managed,
                           const absl::StatusOr<std::vector<std::string>>& its_own) {
  if (!its_own.ok() || Has(managed, name) || Has(*its_own, name)) {
    return absl::OkStatus();
  }
  std::vector<std::string> known = managed;
  known.insert(known.end(), its_own->begin(), its_own->end());
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("the cluster has no database '", name, "'"),
                   {.reason = "UNKNOWN_DATABASE",
                    .hint = text::DidYouMean(
                        name, known, "'multigres topology db list' lists them, 'topology db create' makes one")});
}

absl::StatusOr<provisioners::Provisioner::Connection> ConnectionTo(const Model& model, const std::string& cell,
                                                                   const std::string& database, bool read_only,
                                                                   const std::string& psql) {
  MG_RETURN_IF_ERROR(CheckExists(model));
  std::string name = absl::StrCat(store::kMultigateway, "/", cell.empty() ? model.record.cells(0) : cell);
  MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* gateway, Named(model, name));
  const config::ClusterConfig& config = model.input.config;
  std::vector<std::string> managed = {config.database};
  for (const LaterDatabase& later : model.input.databases) {
    managed.push_back(later.name);
  }
  if (!database.empty() && !Has(managed, database)) {
    MG_RETURN_IF_ERROR(CheckDatabase(database, managed, OwnDatabases(model, PortOf(*gateway, "postgres"))));
  }
  return provisioners::Provisioner::Connection{.host = "127.0.0.1",
                                               .user = config.postgres_user,
                                               .database = database.empty() ? config.database : database,
                                               .passfile = model.input.paths.Passfile(),
                                               .psql = psql,
                                               .port = PortOf(*gateway, read_only ? "postgres_replica" : "postgres")};
}

}  // namespace mg::local
