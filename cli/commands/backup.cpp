// backup: create, list, status, wait, expire, verify.
#include "cli/commands/backup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/relative.h"
#include "cli/output/table.h"
#include "common/text/text.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/backup.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;
namespace out = multigres::cli::v1;
using Admin = multiadmin::MultiadminService;

constexpr absl::Duration kStartLimit = absl::Seconds(30);
constexpr absl::Duration kJobLimit = absl::Minutes(31);
constexpr absl::Duration kExpireLimit = absl::Minutes(10);
constexpr absl::Duration kVerifyLimit = absl::Minutes(60);

const Flag kKeepFlag = {.name = "keep", .value = "N", .help = "so many full backups stay; default: 7"};

/// Where the database is none of the cluster's, that is what is wrong.
int FailNamed(Context& context, const absl::Status& status) {
  return context.Fail(Suggested(context, status, CheckDatabase, BackupDatabase(context)));
}

// Names of backups that pg_basebackup made end so.
std::string Engine(const std::string& backup_id) {
  return backup_id.empty() ? "" : absl::EndsWith(backup_id, "B") ? "pg_basebackup" : "pgBackRest";
}

// As everywhere else in the output.
std::string RoleWord(clustermetadata::RoutingRole role) {
  return role == clustermetadata::ROUTING_ROLE_REPLICA ? "standby"
                                                       : LastWordOf(clustermetadata::RoutingRole_Name(role));
}

out::BackupJobOutput JobOutput(const multiadmin::GetBackupJobStatusResponse& job) {
  out::BackupJobOutput output;
  output.set_job_id(job.job_id());
  output.set_status(LastWordOf(multiadmin::JobStatus_Name(job.status())));
  output.set_database(job.database());
  output.set_backup_id(job.backup_id());
  output.set_engine(Engine(job.backup_id()));
  output.set_error(job.error_message());
  return output;
}

int ShowJob(Context& context, const multiadmin::GetBackupJobStatusResponse& job) {
  out::BackupJobOutput output = JobOutput(job);
  return context.Emit(output, [&] {
    return output.backup_id().empty() ? absl::StrCat("job ", output.job_id(), " is ", output.status(),
                                                     output.error().empty() ? "" : ": " + output.error(), "\n")
                                      : absl::StrCat("backup ", output.backup_id(), " of ", output.database(), " is ",
                                                     output.status(), ", made with ", output.engine(), "\n");
  });
}

int AwaitJob(Context& context, const std::string& job_id) {
  v1::WaitBackupJobRequest request;
  *request.mutable_job() = OfBackupShard<multiadmin::GetBackupJobStatusRequest>(context);
  request.mutable_job()->set_job_id(job_id);
  v1::WaitBackupJobResponse response;
  absl::Status status =
      CallAdmin<v1::BackupService>(context, &v1::BackupService::Stub::WaitBackupJob, request, &response, kJobLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  const multiadmin::GetBackupJobStatusResponse& job = response.job();
  if (job.status() == multiadmin::JOB_STATUS_COMPLETED) {
    return ShowJob(context, job);
  }
  if (job.status() == multiadmin::JOB_STATUS_FAILED) {
    return context.Fail(
        MakeError(absl::StatusCode::kInternal, absl::StrCat("the backup failed: ", job.error_message()),
                  {.reason = "BACKUP_FAILED", .hint = "the log of the pooler says more: multigres logs multipooler"}));
  }
  return context.Fail(MakeError(absl::StatusCode::kDeadlineExceeded, absl::StrCat("job ", job_id, " is still running"),
                                {.reason = "BACKUP_RUNNING", .hint = absl::StrCat("multigres backup wait ", job_id)}));
}

int RunCreate(Context& context) {
  auto request = OfBackupShard<multiadmin::BackupRequest>(context);
  request.set_type(context.args().Has("type") ? context.args().Get("type") : "full");
  if (request.type() != "full" && request.type() != "differential" && request.type() != "incremental") {
    return context.Fail(BackupUsage(absl::StrCat("'", request.type(), "' is no type of backup"),
                                    "it is full, differential or incremental"));
  }
  request.set_force_primary(context.args().Has("primary"));
  multiadmin::BackupResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::Backup, request, &response, kStartLimit);
  if (absl::Status known = absl::IsFailedPrecondition(status) ? CheckDatabase(context, request.database()) : status;
      absl::IsNotFound(known)) {
    return context.Fail(known);
  }
  // Upstream's words, and ours, for a pooler that was looked for in vain; anything else has its own reason.
  if (absl::IsFailedPrecondition(status) && !request.force_primary() &&
      DetailOf(status).value_or(ErrorDetail{}).reason.empty() &&
      absl::StartsWith(status.message(), "failed to find pooler")) {
    status = MakeError(status.code(), std::string(status.message()),
                       {.reason = "NO_STANDBY", .hint = "with --primary the primary is copied"});
  }
  if (!status.ok()) {
    return FailNamed(context, status);
  }
  if (context.args().Has("no-wait")) {
    multiadmin::GetBackupJobStatusResponse job;
    job.set_job_id(response.job_id());
    job.set_database(request.database());
    job.set_status(multiadmin::JOB_STATUS_RUNNING);
    return ShowJob(context, job);
  }
  return AwaitJob(context, response.job_id());
}

int RunStatus(Context& context) {
  auto request = OfBackupShard<multiadmin::GetBackupJobStatusRequest>(context);
  request.set_job_id(context.args().positionals[0]);
  multiadmin::GetBackupJobStatusResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetBackupJobStatus, request, &response, kStartLimit);
  return status.ok() ? ShowJob(context, response) : context.Fail(status);
}

int RunWait(Context& context) { return AwaitJob(context, context.args().positionals[0]); }

int RunList(Context& context) {
  auto request = OfBackupShard<multiadmin::GetBackupsRequest>(context);
  std::uint32_t limit = 0;
  if (context.args().Has("limit") && !absl::SimpleAtoi(context.args().Get("limit"), &limit)) {
    return context.Fail(
        BackupUsage(absl::StrCat("'", context.args().Get("limit"), "' is not a number"), "such as --limit 5"));
  }
  request.set_limit(limit);
  multiadmin::GetBackupsResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetBackups, request, &response, kStartLimit);
  if (!status.ok()) {
    return FailNamed(context, status);
  }
  return context.Emit(response, [&]() -> std::string {
    if (response.backups().empty()) {
      return absl::StrCat("database ", request.database(), " has no backups\n");
    }
    Table table({"BACKUP", "TYPE", "STATUS", "SIZE", "ENDED", "FROM", "STOP LSN", "MADE WITH"});
    for (const multiadmin::BackupInfo& backup : response.backups()) {
      table.Add({backup.backup_id(), backup.type(), LastWordOf(multiadmin::BackupStatus_Name(backup.status())),
                 text::HumanBytes(backup.backup_size_bytes()), Relative(backup.stop_timestamp()),
                 RoleWord(backup.routing_role()), backup.stop_lsn(), Engine(backup.backup_id())});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

int Expire(Context& context) {
  auto request = OfBackupShard<multiadmin::ExpireBackupsRequest>(context);
  if (context.args().Has("keep")) {
    std::uint32_t keep = 0;
    if (!absl::SimpleAtoi(context.args().Get("keep"), &keep) || keep == 0) {
      return context.Fail(
          BackupUsage(absl::StrCat("--keep: '", context.args().Get("keep"), "' is no number of backups"),
                      "one full backup at least stays: --keep 1"));
    }
    (*request.mutable_overrides())["repo1_retention_full"] = context.args().Get("keep");
  }
  multiadmin::ExpireBackupsResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::ExpireBackups, request, &response, kExpireLimit);
  if (!status.ok()) {
    return FailNamed(context, status);
  }
  return context.Emit(response, [&]() -> std::string {
    std::string text;
    for (const std::string& id : response.expired_backup_ids()) {
      absl::StrAppend(&text, "removed ", id, "\n");
    }
    return text.empty() ? "nothing to remove\n" : text;
  });
}

int RunExpire(Context& context) {
  std::string keep = context.args().Get("keep");
  absl::StatusOr<bool> yes =
      context.Confirm(absl::StrCat("remove all full backups but the newest ", keep.empty() ? "7" : keep,
                                   ", and the WAL that only those needed? They cannot be brought back."));
  if (!yes.ok()) {
    return context.Fail(yes.status());
  }
  if (!*yes) {
    return context.Fail(absl::CancelledError("nothing was removed"));
  }
  return Expire(context);
}

int RunVerify(Context& context) {
  multiadmin::VerifyBackupsResponse response;
  absl::Status status =
      CallAdmin<Admin>(context, &Admin::Stub::VerifyBackups, OfBackupShard<multiadmin::VerifyBackupsRequest>(context),
                       &response, kVerifyLimit);
  if (!status.ok()) {
    return FailNamed(context, status);
  }
  return context.Emit(response, [&] {
    return response.raw_output().empty() ? std::string("there are no backups\n") : response.raw_output();
  });
}

}  // namespace

std::vector<Command> BackupCommands() {
  const Positional kJob = {.name = "JOB", .help = "the job's name, as `backup create` printed it", .required = true};
  return {
      {.path = "backup create",
       .summary = "make a backup of a database",
       .description =
           "Make a backup: from a standby, and with pgBackRest where it is installed, else with pg_basebackup and an "
           "archive of WAL from then on. Waits for its end.",
       .flags = {BackupDatabaseFlag(),
                 {.name = "type",
                  .value = "TYPE",
                  .help = "full, differential or incremental (the latter two with "
                          "pgBackRest)"},
                 {.name = "primary", .help = "copy the primary"},
                 {.name = "no-wait", .help = "only begin it"}},
       .examples = {{"multigres backup create", "a full one, from a standby"},
                    {"multigres backup create --no-wait --json | jq -r .jobId", "for a program"}},
       .group = "BACKUP",
       .run = RunCreate},
      {.path = "backup list",
       .summary = "list the backups of a database",
       .flags = {BackupDatabaseFlag(), {.name = "limit", .value = "N", .help = "at most so many; 0: all"}},
       .examples = {{"multigres backup list", "newest first"}},
       .group = "BACKUP",
       .run = RunList},
      {.path = "backup status",
       .summary = "say how far a backup job is",
       .positionals = {kJob},
       .flags = {BackupDatabaseFlag()},
       .examples = {{"multigres backup status 20260105-093011.123456_multipooler-zone2-ab12", "by its job"}},
       .group = "BACKUP",
       .run = RunStatus},
      {.path = "backup wait",
       .summary = "wait for the end of a backup job",
       .positionals = {kJob},
       .flags = {BackupDatabaseFlag()},
       .examples = {{"multigres backup wait 20260105-093011.123456_multipooler-zone2-ab12",
                     "exit status 1: it failed"}},
       .group = "BACKUP",
       .run = RunWait},
      {.path = "backup expire",
       .summary = "remove old backups, and WAL that no backup needs",
       .flags = {BackupDatabaseFlag(), kKeepFlag, {.name = "yes", .letter = 'y', .help = "do not ask"}},
       .examples = {{"multigres backup expire --keep 2", "all but the two newest"}},
       .group = "BACKUP",
       .run = RunExpire},
      // Upstream's scripts know of no question.
      {.path = "cluster expire-backups",
       .summary = "remove old backups without asking, as upstream's",
       .flags = {BackupDatabaseFlag(), kKeepFlag},
       .examples = {{"multigres cluster expire-backups", "as upstream's"}},
       .hidden = true,
       .run = Expire},
      {.path = "backup verify",
       .summary = "read every backup and compare checksums",
       .flags = {BackupDatabaseFlag()},
       .examples = {{"multigres backup verify", "exit status 1: one is damaged"}},
       .group = "BACKUP",
       .run = RunVerify},
  };
}

}  // namespace mg::cli
