/// What pgctld was told: flags, and the environment that its launcher sets. Values; made once in main.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/flags/flags.h"

namespace mg::pgctld {

/// In a data directory whose first SQL has not all been run: it counts as not initialised.
inline constexpr char kUnfinishedMark[] = ".pgctld-unfinished";

struct Options {
  std::string pooler_dir;
  std::string database = "postgres", user = "postgres", password_file;
  int timeout_seconds = 30;
  int port = 5432;
  std::string listen_addresses = "127.0.0.1";
  std::string hba_template, config_template, initdb_args;
  std::vector<std::string> init_sql_files, init_sql_dirs, extra_conf;
  std::string secrets_file;
  int pgbackrest_port = 0;
  std::string pgbackrest_cert_dir;

  // From the environment.
  std::string data_dir;  ///< PGDATA
  std::string password;  ///< POSTGRES_PASSWORD, or the password file's line
  std::string shim;      ///< MULTIGRES_SHIM
  std::string run_dir;   ///< of PostgreSQL's shim
  std::string log_dir;   ///< of PostgreSQL's shim
  int log_file_mb = 16;  ///< size at which its file is rotated
  int log_files = 8;     ///< rotated ones that are kept
  std::string name;      ///< postgres/zone1
  std::string run_as;    ///< user of PostgreSQL; empty: this process's own
  int version = 0;       ///< major for new data; 0: newest

  void AddTo(flags::FlagSet* flags);
  /// Reads the environment and the password, and makes paths absolute. INVALID_ARGUMENT with what is missing.
  absl::Status Complete(bool need_password);

  absl::Duration timeout() const { return absl::Seconds(timeout_seconds); }
  /// Directory of the Unix socket: <pooler-dir>/pg_sockets with links resolved.
  std::string socket_dir() const;
};

}  // namespace mg::pgctld
