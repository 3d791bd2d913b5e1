#include "components/multipooler/pool/role_directory.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "common/pgwire/message.h"
#include "common/status/status.h"

namespace mg::multipooler {
namespace {

constexpr char kLook[] = R"sql(
SELECT coalesce(r.rolpassword, ''), r.rolcanlogin, r.rolreplication, coalesce(r.rolvaliduntil < now(), false),
  (SELECT concat_ws('/', r.oid, r.xmin, d.oid, d.xmin, has_database_privilege(r.oid, d.oid, 'CONNECT'),
     pg_conf_load_time(),
     (SELECT string_agg(concat_ws(':', s.setdatabase, s.setrole, s.setconfig), ';' ORDER BY s.setdatabase, s.setrole)
      FROM pg_db_role_setting s WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid)))
   FROM pg_database d WHERE d.datname = $1)
FROM pg_authid r WHERE r.rolname = $0)sql";

}  // namespace

absl::StatusOr<std::vector<pgwire::Client::Row>> RoleDirectory::Query(const std::string& sql, absl::Time deadline) {
  std::unique_lock lock(mutex_, absl::ToChronoTime(deadline));
  if (!lock.owns_lock()) {
    return absl::DeadlineExceededError("PostgreSQL did not answer in time");
  }
  for (;;) {
    bool kept = connection_ != nullptr;
    if (!kept) {
      MG_ASSIGN_OR_RETURN(std::string password, postgres_.password());
      pgwire::ClientOptions options;
      options.host = postgres_.socket_directory.empty() ? postgres_.host : postgres_.socket_directory;
      options.port = postgres_.port;
      options.user = postgres_.superuser;
      options.database = postgres_.database;
      options.password = password;
      options.application_name = "multipooler-roles";
      MG_ASSIGN_OR_RETURN(connection_, pgwire::Client::Connect(options, deadline));
      // The superuser's own settings must not change what names mean here.
      absl::Status safe = connection_->Query("SET search_path = pg_catalog", deadline).status();
      if (!safe.ok()) {
        connection_.reset();
        return safe;
      }
    }
    absl::StatusOr<std::vector<pgwire::Client::Row>> rows = connection_->Query(sql, deadline);
    if (rows.ok()) {
      return rows;
    }
    // A kept connection may have died with the PostgreSQL of before; a new one tells the truth.
    connection_.reset();
    if (!kept || absl::IsDeadlineExceeded(rows.status())) {
      return rows;
    }
  }
}

absl::StatusOr<RoleState> RoleDirectory::Look(const std::string& role, const std::string& database,
                                              absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(
      auto rows, Query(absl::Substitute(kLook, pgwire::QuoteLiteral(role), pgwire::QuoteLiteral(database)), deadline));
  RoleState state;
  if (!rows.empty() && rows.front().size() == 5) {
    const pgwire::Client::Row& row = rows.front();
    state.exists = true;
    state.can_login = row[1] == "t";
    state.replication = row[2] == "t";
    state.verifier = row[3] == "t" ? "" : row[0].value_or("");
    state.fingerprint = row[4].value_or("");
  }
  return state;
}

absl::StatusOr<bool> RoleDirectory::WaitsForStandby(std::uint32_t pid, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(
      auto rows,
      Query(absl::StrCat("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = ", pid), deadline));
  return !rows.empty() && !rows.front().empty() && rows.front()[0] == "t";
}

}  // namespace mg::multipooler
