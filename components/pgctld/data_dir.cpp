#include "components/pgctld/data_dir.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/status/status.h"

namespace mg::pgctld {
namespace {

/// WAL sizes follow the volume, within the contract's bounds; MB.
struct WalSizes {
  int max_wal = 1024, keep = 512, min_wal = 256;
};

WalSizes SizesFor(const std::string& directory) {
  struct statvfs info {};
  WalSizes sizes;
  if (::statvfs(directory.c_str(), &info) == 0) {
    double mib = static_cast<double>(info.f_blocks) * static_cast<double>(info.f_frsize) / (1 << 20);
    sizes.max_wal = std::clamp(static_cast<int>(std::min(mib / 4, 4096.0)), 64, 4096);
    sizes.keep = std::clamp(static_cast<int>(std::min(mib / 8, 1000.0)), 32, 1000);
    sizes.min_wal = std::clamp(sizes.max_wal / 4, 32, 1024);
  }
  return sizes;
}

std::string Configuration(const Options& options) {
  WalSizes wal = SizesFor(options.pooler_dir);
  std::string text = absl::StrCat(
      "\n# Written by pgctld. Port, addresses and socket directory are given on the command line.\n"
      "max_connections = 110\nshared_buffers = 64MB\nwal_level = logical\nhot_standby = on\nwal_log_hints = on\n"
      "max_wal_senders = 25\nmax_replication_slots = 25\nwal_sender_timeout = 10s\nwal_receiver_timeout = 10s\n"
      "# The default of 5 s would dominate every start of a standby.\nwal_retrieve_retry_interval = 20ms\n"
      "max_wal_size = ",
      wal.max_wal, "MB\nmin_wal_size = ", wal.min_wal, "MB\nwal_keep_size = ", wal.keep,
      "MB\nmax_slot_wal_keep_size = ", wal.max_wal,
      "MB\npassword_encryption = scram-sha-256\nlog_destination = stderr\nlogging_collector = off\n"
      "log_line_prefix = '%m [%p] %q%u@%d '\nlog_timezone = UTC\ncluster_name = ''\n");
  for (const std::string& file : options.extra_conf) {
    absl::StrAppend(&text, "include_if_exists = '", absl::StrReplaceAll(file, {{"'", "''"}}), "'\n");
  }
  return text;
}

constexpr char kHba[] =
    "# Written by pgctld.\n"
    "# TYPE  DATABASE     USER  ADDRESS         METHOD\n"
    "local   all          all                   scram-sha-256\n"
    "host    all          all   127.0.0.1/32    scram-sha-256\n"
    "host    all          all   ::1/128         scram-sha-256\n"
    "host    all          all   0.0.0.0/0       scram-sha-256\n"
    "host    all          all   ::/0            scram-sha-256\n"
    "local   replication  all                   scram-sha-256\n"
    "host    replication  all   127.0.0.1/32    scram-sha-256\n"
    "host    replication  all   ::1/128         scram-sha-256\n";

absl::Status RunInitdb(const Options& options, const pginstall::Installation& installation) {
  // initdb runs as PostgreSQL's user and must read it; it is gone before anything else happens.
  std::string password_file = JoinPath(options.pooler_dir, ".initdb-password");
  MG_RETURN_IF_ERROR(WriteFileAtomically(password_file, options.password + "\n", 0600));
  absl::Status status = GiveToUser(password_file, options.run_as);
  if (status.ok()) {
    std::vector<std::string> argv = {installation.Program("initdb"),
                                     "-D",
                                     options.data_dir,
                                     "-U",
                                     options.user,
                                     absl::StrCat("--pwfile=", password_file),
                                     "--auth-local=scram-sha-256",
                                     "--auth-host=scram-sha-256",
                                     "--encoding=UTF8",
                                     "--locale=C.UTF-8",
                                     "--data-checksums",
                                     "--no-sync",
                                     "--no-instructions"};
    for (absl::string_view word : absl::StrSplit(options.initdb_args, ' ', absl::SkipEmpty())) {
      argv.emplace_back(word);
    }
    status = RunHelperOk({.argv = argv,
                          .environment = {"LC_ALL=C.UTF-8"},
                          .working_directory = "/",
                          .run_as = options.run_as,
                          .timeout = absl::Minutes(5)})
                 .status();
  }
  ::unlink(password_file.c_str());
  return status;
}

absl::Status WriteConfiguration(const Options& options) {
  std::string path = JoinPath(options.data_dir, "postgresql.conf");
  std::string text;
  if (options.config_template.empty()) {
    MG_ASSIGN_OR_RETURN(text, ReadFile(path));
    text += Configuration(options);
  } else {
    MG_ASSIGN_OR_RETURN(text, ReadFile(options.config_template));
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, text, 0600));
  MG_RETURN_IF_ERROR(GiveToUser(path, options.run_as));
  std::string hba = kHba;
  if (!options.hba_template.empty()) {
    MG_ASSIGN_OR_RETURN(hba, ReadFile(options.hba_template));
  }
  path = JoinPath(options.data_dir, "pg_hba.conf");
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, hba, 0600));
  return GiveToUser(path, options.run_as);
}

absl::StatusOr<std::string> Psql(const pginstall::Installation& installation) {
  std::string beside = installation.Program("psql");
  return ::access(beside.c_str(), X_OK) == 0 ? absl::StatusOr<std::string>(beside) : FindProgram("psql");
}

/// Everything that needs a running server once: the database, the SQL directories and files.
absl::Status RunInitialSql(const Options& options, const pginstall::Installation& installation,
                           PostgresServer* server) {
  if (options.database == "postgres" && options.init_sql_files.empty() && options.init_sql_dirs.empty()) {
    return absl::OkStatus();
  }
  MG_ASSIGN_OR_RETURN(std::string psql, Psql(installation));
  MG_RETURN_IF_ERROR(server->Start({.as_primary = true, .local_only = true}).status());
  auto run = [&](const std::string& database, const std::string& role, std::vector<std::string> more) {
    std::vector<std::string> argv = {psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-U", options.user};
    if (!role.empty() && role != options.user) {
      argv.insert(argv.end(), {"-c", absl::StrCat("SET ROLE \"", role, "\"")});
    }
    argv.insert(argv.end(), more.begin(), more.end());
    return RunHelperOk(
               {.argv = argv,
                .environment = {absl::StrCat("PGHOST=", options.socket_dir()), absl::StrCat("PGPORT=", options.port),
                                absl::StrCat("PGPASSWORD=", options.password)},
                .timeout = absl::Minutes(5)})
        .status();
  };
  absl::Status status;
  if (options.database != "postgres") {
    status = run("postgres", "", {"-c", absl::StrCat("CREATE DATABASE \"", options.database, "\"")});
  }
  for (const std::string& item : options.init_sql_dirs) {
    std::pair<std::string, std::string> parts = absl::StrSplit(item, absl::MaxSplits(':', 1));
    std::vector<std::string> files;
    std::error_code error;
    for (std::filesystem::directory_iterator it(parts.second, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".sql") {
        files.push_back(it->path().string());
      }
    }
    if (error && status.ok()) {
      status = ErrnoStatus(error.value(), absl::StrCat("read ", parts.second));
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      status = status.ok() ? run(options.database, parts.first, {"-f", file}) : status;
    }
  }
  for (const std::string& file : options.init_sql_files) {
    status = status.ok() ? run(options.database, "", {"-f", file}) : status;
  }
  absl::Status stopped = server->Stop("fast").status();
  return status.ok() ? stopped : status;
}

}  // namespace

absl::StatusOr<bool> InitDataDir(const Options& options, PostgresServer* server) {
  if (server->Initialized()) {
    return true;
  }
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, pginstall::Choose(options.data_dir, options.version));
  MG_RETURN_IF_ERROR(MakeDirectories(options.pooler_dir, 0711));
  bool existed = Exists(options.data_dir);
  if (existed && !std::filesystem::is_empty(options.data_dir)) {
    return absl::FailedPreconditionError(
        absl::StrCat("directory ", options.data_dir, " is not empty and is no data directory; nothing was touched"));
  }
  MG_RETURN_IF_ERROR(MakeDirectories(options.data_dir, 0700));
  absl::Status status = GiveToUser(options.data_dir, options.run_as);
  if (status.ok()) {
    status = RunInitdb(options, installation);
  }
  if (status.ok()) {
    status = WriteConfiguration(options);
  }
  if (status.ok()) {
    status = RunInitialSql(options, installation, server);
  }
  if (!status.ok()) {
    absl::Status removed = RemoveTree(options.data_dir);
    if (!removed.ok()) {
      log::Error("a failed data directory could not be removed", {{"error", removed}});
    }
    return status;
  }
  log::Info("data directory initialised", {{"data_dir", options.data_dir}, {"version", installation.version}});
  return false;
}

}  // namespace mg::pgctld
