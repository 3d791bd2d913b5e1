#include "components/pgctld/options.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::pgctld {
namespace {

std::string Environment(const char* name, const std::string& fallback = "") {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

absl::Status ReadPassword(Options* options) {
  if (!options->password_file.empty()) {
    MG_ASSIGN_OR_RETURN(options->password, ReadFile(options->password_file));
    while (absl::EndsWith(options->password, "\n") || absl::EndsWith(options->password, "\r")) {
      options->password.pop_back();
    }
    if (options->password.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the password file ", options->password_file, " is empty"));
    }
    return absl::OkStatus();
  }
  options->password = Environment("POSTGRES_PASSWORD");
  return options->password.empty()
             ? absl::InvalidArgumentError(
                   "a password is needed: --pg-password-file, POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD")
             : absl::OkStatus();
}

}  // namespace

void Options::AddTo(flags::FlagSet* flags) {
  flags->Add("pooler-dir", &pooler_dir, "directory of the pooler");
  flags->Add("pg-database", &database, "database that is made when it is not postgres", {"POSTGRES_DB"});
  flags->Add("pg-user", &user, "superuser", {"POSTGRES_USER"});
  flags->Add("pg-password-file", &password_file, "file with the superuser's password", {"POSTGRES_PASSWORD_FILE"});
  flags->Add("timeout", &timeout_seconds, "seconds for start and stop");
  flags->Add("pg-port", &port, "PostgreSQL's port");
  flags->Add("pg-listen-addresses", &listen_addresses, "PostgreSQL's listen_addresses; loopback unless given");
  flags->Add("pg-hba-template", &hba_template, "file that replaces the built-in pg_hba.conf");
  flags->Add("postgres-config-template", &config_template, "file that replaces the built-in postgresql.conf",
             {"POSTGRES_CONFIG_TEMPLATE_PATH"});
  flags->Add("pg-initdb-args", &initdb_args, "further arguments of initdb", {"POSTGRES_INITDB_ARGS"});
  flags->Add("pg-initdb-sql-files", &init_sql_files, "SQL files that are run after initdb",
             {"POSTGRES_INITDB_SQL_FILES"});
  flags->Add("pg-initdb-sql-dirs", &init_sql_dirs, "role:directory of SQL files that are run before those",
             {"POSTGRES_INITDB_SQL_DIRS"});
  flags->Add("pg-initdb-extra-conf", &extra_conf, "files that are included at the end of postgresql.conf",
             {"POSTGRES_INITDB_EXTRA_CONF"});
  flags->Add("init-db-sql-file", &init_sql_files, "the older name of --pg-initdb-sql-files");
  flags->Hide("init-db-sql-file");
  flags->Add(
      "pg-init-secrets-file", &secrets_file,
      "JSON with roles (name to password) and database_settings (database to setting to value), set after initdb",
      {"POSTGRES_INIT_SECRETS_FILE"});
  flags->Add("pgbackrest-port", &pgbackrest_port, "port of the pgBackRest server; 0: none");
  flags->Add("pgbackrest-cert-dir", &pgbackrest_cert_dir, "certificates of the pgBackRest server");
  flags->Short('D', "pg-database");
  flags->Short('U', "pg-user");
  flags->Short('t', "timeout");
  flags->Short('p', "pg-port");
}

absl::Status Options::Complete(bool need_password) {
  if (pooler_dir.empty()) {
    return absl::InvalidArgumentError("--pooler-dir is required");
  }
  std::error_code error;
  pooler_dir = std::filesystem::absolute(pooler_dir, error).lexically_normal().string();
  data_dir = Environment("PGDATA");
  if (data_dir.empty()) {
    return absl::InvalidArgumentError("PGDATA must be set to the data directory");
  }
  data_dir = std::filesystem::absolute(data_dir, error).lexically_normal().string();
  if (port < 1 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--pg-port: ", port, " is not from 1 to 65535"));
  }
  if (timeout_seconds < 1) {
    return absl::InvalidArgumentError(absl::StrCat("--timeout: ", timeout_seconds, " is not a positive number"));
  }
  MG_ASSIGN_OR_RETURN(std::string own_dir, ExecutableDirectory());
  shim = Environment("MULTIGRES_SHIM", JoinPath(own_dir, "multigres-shim"));
  run_dir = Environment("MULTIGRES_POSTGRES_RUN_DIR", JoinPath(pooler_dir, "postgres-shim"));
  log_dir = Environment("MULTIGRES_POSTGRES_LOG_DIR", JoinPath(pooler_dir, "postgres-log"));
  if (std::string limits = Environment("MULTIGRES_POSTGRES_LOG_LIMITS"); !limits.empty()) {
    std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(limits, absl::MaxSplits(':', 1));
    if (!absl::SimpleAtoi(parts.first, &log_file_mb) || !absl::SimpleAtoi(parts.second, &log_files) ||
        log_file_mb < 1 || log_files < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("MULTIGRES_POSTGRES_LOG_LIMITS: '", limits, "' is not <MB of a file>:<files>"));
    }
  }
  name = Environment("MULTIGRES_POSTGRES_NAME", "postgres");
  run_as = ::geteuid() == 0 ? Environment("MULTIGRES_RUN_AS", "postgres") : "";
  if (std::string text = Environment("MULTIGRES_POSTGRES_VERSION");
      !text.empty() && !absl::SimpleAtoi(text, &version)) {
    return absl::InvalidArgumentError(absl::StrCat("MULTIGRES_POSTGRES_VERSION: '", text, "' is not a number"));
  }
  return need_password ? ReadPassword(this) : absl::OkStatus();
}

std::string Options::socket_dir() const {
  std::string path = JoinPath(pooler_dir, "pg_sockets");
  std::error_code error;
  std::filesystem::path real = std::filesystem::canonical(path, error);
  return error ? path : real.string();
}

}  // namespace mg::pgctld
