#include "components/pgctld/service.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/pginstall/pginstall.h"
#include "common/pgsql/connection.h"
#include "common/process/helper.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/pgctld/data_dir.h"
#include "components/pgctld/restore_command.h"

namespace mg::pgctld {
namespace {

constexpr absl::Duration kVersionBound = absl::Seconds(5);

/// As upstream, every failure is UNKNOWN; the reason, the hint and the last log lines are in the details, and the lines
/// in the text too, for callers that read only that.
grpc::Status ToWire(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  std::string text(status.message());
  ErrorDetail detail = DetailOf(status).value_or(ErrorDetail());
  if (!detail.log_tail.empty()) {
    absl::StrAppend(&text, "\n", absl::StrJoin(detail.log_tail, "\n"));
  }
  log::Error("request failed", {{"error", text}, {"reason", detail.reason}});
  return rpc::ToGrpc(MakeError(absl::StatusCode::kUnknown, text, detail));
}

}  // namespace

Patience PgCtldService::Of(grpc::ServerContext* context, bool yields_to_stop) {
  Patience patience;
  if (context->deadline() != std::chrono::system_clock::time_point::max()) {
    patience.deadline = absl::FromChrono(context->deadline());
  }
  patience.cancelled = [this, context, yields_to_stop] {
    return context->IsCancelled() || (yields_to_stop && stops_waiting_ > 0);
  };
  return patience;
}

std::unique_lock<std::mutex> PgCtldService::LockForStop(const std::string& mode) {
  if (mode == "immediate") {
    server_.StopAtOnce();
  }
  ++stops_waiting_;
  std::unique_lock lock(mutex_);
  --stops_waiting_;
  return lock;
}

grpc::Status PgCtldService::Start(grpc::ServerContext* context, const pgctldservice::StartRequest* request,
                                  pgctldservice::StartResponse* response) {
  std::lock_guard lock(mutex_);
  if (!server_.Running() && server_.Initialized() && server_.IsStandby() && request->allow_crash_recovery() &&
      request->suspected_divergence()) {
    absl::StatusOr<bool> unclean = server_.NeedsCrashRecovery();
    if (unclean.ok() && *unclean) {
      absl::Status recovered = server_.CrashRecovery();
      if (!recovered.ok()) {
        log::Warn("single-user recovery failed", {{"error", recovered}});
      }
      response->set_crash_recovery_ran(recovered.ok());
    }
  }
  StartRole role = request->as_primary() ? StartRole::kPrimary : StartRole::kStandby;
  if (!server_.Initialized()) {
    return ToWire(
        absl::FailedPreconditionError(absl::StrCat("data directory ", options_.data_dir, " is not initialised")));
  }
  absl::StatusOr<bool> already = server_.Start({.role = role}, Of(context, /*yields_to_stop=*/true));
  if (!already.ok()) {
    return ToWire(already.status());
  }
  response->set_pid(server_.Pid());
  response->set_message(*already ? "PostgreSQL is already running" : "PostgreSQL server started successfully");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::Stop(grpc::ServerContext* context, const pgctldservice::StopRequest* request,
                                 pgctldservice::StopResponse* response) {
  if (!server_.Initialized()) {
    return ToWire(
        absl::FailedPreconditionError(absl::StrCat("data directory ", options_.data_dir, " is not initialised")));
  }
  std::unique_lock lock = LockForStop(request->mode());
  absl::StatusOr<bool> already = server_.Stop(request->mode(), Of(context));
  if (!already.ok()) {
    return ToWire(already.status());
  }
  response->set_message(*already ? "PostgreSQL is not running" : "PostgreSQL server stopped successfully");
  return grpc::Status::OK;
}

grpc::Status PgCtldService::Restart(grpc::ServerContext* context, const pgctldservice::RestartRequest* request,
                                    pgctldservice::RestartResponse* response) {
  if (!server_.Initialized()) {
    return ToWire(
        absl::FailedPreconditionError(absl::StrCat("data directory ", options_.data_dir, " is not initialised")));
  }
  std::unique_lock lock = LockForStop(request->mode());
  absl::Status status = server_.Stop(request->mode(), Of(context)).status();
  if (status.ok() && context->IsCancelled()) {
    status = absl::CancelledError("the caller left while PostgreSQL stopped");
  }
  if (status.ok()) {
    StartRole role = request->as_standby() ? StartRole::kStandby : StartRole::kUnchanged;
    status = server_.Start({.role = role}, Of(context, /*yields_to_stop=*/true)).status();
  }
  if (!status.ok()) {
    return ToWire(status);
  }
  response->set_pid(server_.Pid());
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
  response->set_message(info.message);
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
  absl::Time deadline = absl::Now() + kVersionBound;
  auto connection = pgsql::Connection::Connect({.host = options_.socket_dir(),
                                                .port = options_.port,
                                                .user = options_.user,
                                                .password = options_.password,
                                                .database = "postgres",
                                                .application_name = "pgctld"},
                                               deadline);
  if (!connection.ok()) {
    return ToWire(WithContext(connection.status(), "PostgreSQL's version cannot be asked"));
  }
  absl::StatusOr<pgsql::Result> result = (*connection)->Execute("SELECT version()", deadline);
  if (!result.ok()) {
    return ToWire(result.status());
  }
  response->set_version(result->Text(0, 0));
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
  if (server_.Running()) {
    return ToWire(absl::FailedPreconditionError("PostgreSQL must be stopped for pg_rewind"));
  }
  absl::StatusOr<pginstall::Installation> installation = server_.Installation();
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
  absl::StatusOr<bool> ended = EndRestoreCommand(JoinPath(options_.pooler_dir, "restore_command.pid"));
  if (!ended.ok()) {
    return ToWire(ended.status());
  }
  response->set_found(*ended);
  response->set_killed(*ended);
  response->set_message(*ended ? "restore_command was ended" : "no restore_command runs");
  return grpc::Status::OK;
}

}  // namespace mg::pgctld
