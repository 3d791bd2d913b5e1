#include "components/pgctld/service.h"

#include <signal.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/process/process_id.h"
#include "common/status/status.h"
#include "components/pgctld/data_dir.h"

namespace mg::pgctld {
namespace {

grpc::Status ToWire(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  std::string text(status.message());
  if (std::optional<ErrorDetail> detail = DetailOf(status); detail.has_value() && !detail->log_tail.empty()) {
    absl::StrAppend(&text, "\n", absl::StrJoin(detail->log_tail, "\n"));
  }
  log::Error("request failed", {{"error", text}});
  return {grpc::StatusCode::UNKNOWN, text};
}

}  // namespace

grpc::Status PgCtldService::Start(grpc::ServerContext*, const pgctldservice::StartRequest* request,
                                  pgctldservice::StartResponse* response) {
  std::lock_guard lock(mutex_);
  bool running = server_.State().pid != 0;
  if (!running && request->allow_crash_recovery() && request->suspected_divergence() &&
      Exists(JoinPath(options_.data_dir, "standby.signal"))) {
    absl::StatusOr<bool> unclean = server_.NeedsCrashRecovery();
    if (unclean.ok() && *unclean) {
      absl::Status recovered = server_.CrashRecovery();
      if (!recovered.ok()) {
        log::Warn("single-user recovery failed", {{"error", recovered}});
      }
      response->set_crash_recovery_ran(recovered.ok());
    }
  }
  absl::StatusOr<bool> already = server_.Start({.as_primary = request->as_primary()});
  if (!already.ok()) {
    return ToWire(already.status());
  }
  response->set_pid(server_.State().pid);
  response->set_message(*already ? "PostgreSQL is already running" : "PostgreSQL server started successfully");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::Stop(grpc::ServerContext*, const pgctldservice::StopRequest* request,
                                 pgctldservice::StopResponse* response) {
  std::lock_guard lock(mutex_);
  absl::StatusOr<bool> already = server_.Stop(request->mode());
  if (!already.ok()) {
    return ToWire(already.status());
  }
  response->set_message(*already ? "PostgreSQL is not running" : "PostgreSQL server stopped successfully");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::Restart(grpc::ServerContext*, const pgctldservice::RestartRequest* request,
                                    pgctldservice::RestartResponse* response) {
  std::lock_guard lock(mutex_);
  bool as_primary = !request->as_standby() && !Exists(JoinPath(options_.data_dir, "standby.signal"));
  absl::Status status = server_.Stop(request->mode()).status();
  if (status.ok()) {
    status = server_.Start({.as_primary = as_primary}).status();
  }
  if (!status.ok()) {
    return ToWire(status);
  }
  response->set_pid(server_.State().pid);
  response->set_message("PostgreSQL server restarted successfully");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::ReloadConfig(grpc::ServerContext*, const pgctldservice::ReloadConfigRequest*,
                                         pgctldservice::ReloadConfigResponse* response) {
  std::lock_guard lock(mutex_);
  absl::Status status = server_.Reload();
  response->set_message("PostgreSQL server configuration reloaded");
  return ToWire(status);
}

grpc::Status PgCtldService::Status(grpc::ServerContext*, const pgctldservice::StatusRequest*,
                                   pgctldservice::StatusResponse* response) {
  ServerInfo info = server_.State();
  // The contract knows three answers here: a postmaster that does not accept connections yet is STOPPED.
  response->set_status(info.state == ServerState::kNotInitialized ? pgctldservice::NOT_INITIALIZED
                       : info.ready                               ? pgctldservice::RUNNING
                                                                  : pgctldservice::STOPPED);
  response->set_pid(info.pid);
  response->set_version(info.version);
  response->set_data_dir(options_.data_dir);
  response->set_port(options_.port);
  response->set_ready(info.ready);
  if (info.pid != 0) {
    response->mutable_uptime()->set_seconds(absl::ToInt64Seconds(info.uptime));
  }
  if (options_.pgbackrest_port != 0) {
    response->mutable_pgbackrest_status()->set_error_message("the built-in pgctld runs no pgBackRest server");
  }
  return grpc::Status::OK;
}

grpc::Status PgCtldService::Version(grpc::ServerContext*, const pgctldservice::VersionRequest*,
                                    pgctldservice::VersionResponse* response) {
  ServerInfo info = server_.State();
  if (!info.ready) {
    return {grpc::StatusCode::UNKNOWN, "PostgreSQL does not run"};
  }
  response->set_version(absl::StrCat("PostgreSQL ", info.version));
  response->set_message("version of the running server");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::InitDataDir(grpc::ServerContext*, const pgctldservice::InitDataDirRequest*,
                                        pgctldservice::InitDataDirResponse* response) {
  std::lock_guard lock(mutex_);
  absl::StatusOr<bool> already = pgctld::InitDataDir(options_, &server_);
  if (!already.ok()) {
    return ToWire(already.status());
  }
  response->set_message(*already ? "data directory is already initialised" : "data directory initialised successfully");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::PgRewind(grpc::ServerContext*, const pgctldservice::PgRewindRequest* request,
                                     pgctldservice::PgRewindResponse* response) {
  std::lock_guard lock(mutex_);
  if (server_.State().pid != 0) {
    return {grpc::StatusCode::UNKNOWN, "PostgreSQL must be stopped for pg_rewind"};
  }
  absl::StatusOr<pginstall::Installation> installation = pginstall::ForDataDirectory(options_.data_dir);
  if (!installation.ok()) {
    return ToWire(installation.status());
  }
  absl::StatusOr<bool> unclean = server_.NeedsCrashRecovery();
  if (unclean.ok() && *unclean) {
    if (absl::Status recovered = server_.CrashRecovery(); !recovered.ok()) {
      log::Warn("single-user recovery before pg_rewind failed", {{"error", recovered}});
    }
  }
  std::string source = absl::StrCat("host=", request->source_host(), " port=", request->source_port(),
                                    " user=", options_.user, " dbname=postgres connect_timeout=5");
  if (!request->application_name().empty()) {
    absl::StrAppend(&source, " application_name=", request->application_name());
  }
  std::vector<std::string> argv = {installation->Program("pg_rewind"), "--target-pgdata", options_.data_dir,
                                   "--source-server", source};
  if (request->dry_run()) {
    argv.emplace_back("--dry-run");
  }
  argv.insert(argv.end(), request->extra_args().begin(), request->extra_args().end());
  absl::StatusOr<HelperResult> result =
      RunHelperOk({.argv = argv,
                   .environment = {absl::StrCat("PGPASSWORD=", options_.password), "LC_ALL=C"},
                   .working_directory = "/",
                   .run_as = options_.run_as,
                   .timeout = absl::Minutes(30)});
  if (!result.ok()) {
    return ToWire(result.status());
  }
  response->set_message("pg_rewind succeeded");
  response->set_output(absl::StrCat(result->standard_output, result->standard_error));
  return grpc::Status::OK;
}

grpc::Status PgCtldService::StopRestoreCommand(grpc::ServerContext*, const pgctldservice::StopRestoreCommandRequest*,
                                               pgctldservice::StopRestoreCommandResponse* response) {
  absl::StatusOr<std::string> text = ReadFile(JoinPath(options_.pooler_dir, "restore_command.pid"));
  int pid = 0;
  absl::StatusOr<ProcessId> process = absl::NotFoundError("");
  if (text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &pid)) {
    process = IdentifyProcess(pid);
  }
  if (!process.ok()) {
    response->set_message("no restore_command runs");
    return grpc::Status::OK;
  }
  response->set_found(true);
  absl::Status status = SignalProcess(*process, SIGTERM);
  response->set_killed(status.ok());
  response->set_message(status.ok() ? "restore_command was told to end" : std::string(status.message()));
  return grpc::Status::OK;
}

}  // namespace mg::pgctld
