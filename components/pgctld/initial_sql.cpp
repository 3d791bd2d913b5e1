#include "components/pgctld/initial_sql.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/pgsql/connection.h"
#include "common/process/helper.h"
#include "common/status/status.h"

namespace mg::pgctld {
namespace {

using google::protobuf::Struct;

/// Runs psql against the new server, once for each file.
class Session {
 public:
  Session(const Options& options, std::string psql) : options_(options), psql_(std::move(psql)) {}

  /// Empty `role`: the superuser's own. `sql` goes to psql's standard input, so that passwords show in no command line.
  absl::Status Run(const std::string& database, const std::string& role, const std::string& file,
                   const std::string& sql) const {
    std::vector<std::string> argv = {psql_, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-U", options_.user};
    if (!role.empty() && role != options_.user) {
      argv.insert(argv.end(), {"-c", absl::StrCat("SET ROLE ", pgsql::QuoteIdentifier(role))});
    }
    argv.insert(argv.end(), {"-f", file.empty() ? "-" : file});
    absl::Status status = RunHelperOk({.argv = argv,
                                       .environment = {absl::StrCat("PGHOST=", options_.socket_dir()),
                                                       absl::StrCat("PGPORT=", options_.port),
                                                       absl::StrCat("PGPASSWORD=", options_.password)},
                                       .standard_input = sql,
                                       .timeout = absl::Minutes(5)})
                              .status();
    return status.ok() ? status
                       : MakeError(absl::StatusCode::kFailedPrecondition,
                                   absl::StrCat("the first SQL failed: ", std::string(status.message())),
                                   {.reason = "INIT_SQL_FAILED", .subject = options_.name});
  }

 private:
  const Options& options_;
  std::string psql_;
};

absl::StatusOr<std::vector<std::string>> SqlFilesOf(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".sql") {
      files.push_back(it->path().string());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("read ", directory));
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::Status RunAll(const Options& options, const Session& session) {
  if (options.database != "postgres") {
    MG_RETURN_IF_ERROR(
        session.Run("postgres", "", "", absl::StrCat("CREATE DATABASE ", pgsql::QuoteIdentifier(options.database))));
  }
  if (!options.secrets_file.empty()) {
    MG_ASSIGN_OR_RETURN(std::string json, ReadFile(options.secrets_file));
    MG_ASSIGN_OR_RETURN(std::string sql, SecretsSql(json, options.secrets_file));
    MG_RETURN_IF_ERROR(session.Run("postgres", "", "", sql));
  }
  for (const std::string& item : options.init_sql_dirs) {
    size_t colon = item.find(':');
    if (colon == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--pg-initdb-sql-dirs: '", item, "' is not role:directory"));
    }
    MG_ASSIGN_OR_RETURN(std::vector<std::string> files, SqlFilesOf(item.substr(colon + 1)));
    for (const std::string& file : files) {
      MG_RETURN_IF_ERROR(session.Run(options.database, item.substr(0, colon), file, ""));
    }
  }
  for (const std::string& file : options.init_sql_files) {
    MG_RETURN_IF_ERROR(session.Run(options.database, "", file, ""));
  }
  return absl::OkStatus();
}

absl::Status BadSecrets(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

}  // namespace

bool HasInitialSql(const Options& options) {
  return options.database != "postgres" || !options.init_sql_files.empty() || !options.init_sql_dirs.empty() ||
         !options.secrets_file.empty();
}

absl::StatusOr<std::string> SecretsSql(const std::string& json, const std::string& path) {
  Struct document;
  if (!google::protobuf::util::JsonStringToMessage(json, &document).ok()) {
    return BadSecrets(path, "expected a JSON object");  // without the parser's words, which may quote a password
  }
  std::string sql;
  for (const auto& [section, content] : document.fields()) {
    if ((section != "roles" && section != "database_settings") || !content.has_struct_value()) {
      return BadSecrets(path, absl::StrCat("expected objects named roles and database_settings, not '", section, "'"));
    }
  }
  for (const auto& [role, password] : (*document.mutable_fields())["roles"].struct_value().fields()) {
    if (!password.has_string_value()) {
      return BadSecrets(path, absl::StrCat("roles.", role, ": expected the password as a string"));
    }
    std::string name = pgsql::QuoteIdentifier(role), word = pgsql::QuoteLiteral(password.string_value());
    absl::StrAppend(&sql, "SELECT ", pgsql::QuoteLiteral(absl::StrCat("CREATE ROLE ", name, " LOGIN")),
                    " WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ", pgsql::QuoteLiteral(role),
                    ") \\gexec\nALTER ROLE ", name, " PASSWORD ", word, ";\n");
  }
  for (const auto& [database, settings] : (*document.mutable_fields())["database_settings"].struct_value().fields()) {
    if (!settings.has_struct_value()) {
      return BadSecrets(path, absl::StrCat("database_settings.", database, ": expected an object"));
    }
    for (const auto& [name, value] : settings.struct_value().fields()) {
      if (!value.has_string_value()) {
        return BadSecrets(path, absl::StrCat("database_settings.", database, ".", name, ": expected a string"));
      }
      // Each part of a two-part name is an identifier of its own.
      std::vector<std::string> parts = absl::StrSplit(name, '.');
      std::string quoted;
      for (const std::string& part : parts) {
        absl::StrAppend(&quoted, quoted.empty() ? "" : ".", pgsql::QuoteIdentifier(part));
      }
      absl::StrAppend(&sql, "ALTER DATABASE ", pgsql::QuoteIdentifier(database), " SET ", quoted, " = ",
                      pgsql::QuoteLiteral(value.string_value()), ";\n");
    }
  }
  return sql;
}

absl::Status RunInitialSql(const Options& options, const pginstall::Installation& installation,
                           PostgresServer* server) {
  std::string psql = installation.Program("psql");
  if (::access(psql.c_str(), X_OK) != 0) {
    MG_ASSIGN_OR_RETURN(psql, FindProgram("psql"));
  }
  MG_RETURN_IF_ERROR(server->Start({.role = StartRole::kPrimary, .local_only = true}).status());
  absl::Status status = RunAll(options, Session(options, psql));
  absl::Status stopped = server->Stop("fast").status();
  return status.ok() ? stopped : status;
}

}  // namespace mg::pgctld
