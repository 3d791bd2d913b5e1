// backup: create, list, status, wait, expire, verify, restore.
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

constexpr char kTableGroup[] = "default";
constexpr char kShard[] = "0-inf";
constexpr absl::Duration kStartLimit = absl::Seconds(30);
constexpr absl::Duration kJobLimit = absl::Minutes(31);
constexpr absl::Duration kExpireLimit = absl::Minutes(10);
constexpr absl::Duration kVerifyLimit = absl::Minutes(60);
constexpr absl::Duration kRestoreLimit = absl::Minutes(30);

const Flag kDatabaseFlag = {.name = "database", .value = "NAME", .help = "the database; default: postgres"};
const Flag kKeepFlag = {.name = "keep", .value = "N", .help = "so many full backups stay; default: 7"};

absl::Status Usage(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

std::string Database(const Context& context) {
  return context.args().Has("database") ? context.args().Get("database") : "postgres";
}

/// Where the database is none of the cluster's, that is what is wrong.
int FailNamed(Context& context, const absl::Status& status) {
  return context.Fail(Suggested(context, status, CheckDatabase, Database(context)));
}

template <typename Request>
Request OfShard(const Context& context) {
  Request request;
  request.set_database(Database(context));
  request.set_table_group(kTableGroup);
  request.set_shard(kShard);
  return request;
}

// Names of backups that pg_basebackup made end so.
std::string Engine(const std::string& backup_id) {
  return backup_id.empty() ? "" : absl::EndsWith(backup_id, "B") ? "pg_basebackup" : "pgBackRest";
}

template <typename Enum>
std::string Word(const std::string& name, Enum) {
  return absl::AsciiStrToLower(name.substr(name.rfind('_') + 1));
}

// As everywhere else in the output.
std::string RoleWord(clustermetadata::RoutingRole role) {
  return role == clustermetadata::ROUTING_ROLE_REPLICA ? "standby"
                                                       : Word(clustermetadata::RoutingRole_Name(role), role);
}

out::BackupJobOutput JobOutput(const multiadmin::GetBackupJobStatusResponse& job) {
  out::BackupJobOutput output;
  output.set_job_id(job.job_id());
  output.set_status(Word(multiadmin::JobStatus_Name(job.status()), job.status()));
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
  *request.mutable_job() = OfShard<multiadmin::GetBackupJobStatusRequest>(context);
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
  auto request = OfShard<multiadmin::BackupRequest>(context);
  request.set_type(context.args().Has("type") ? context.args().Get("type") : "full");
  if (request.type() != "full" && request.type() != "differential" && request.type() != "incremental") {
    return context.Fail(
        Usage(absl::StrCat("'", request.type(), "' is no type of backup"), "it is full, differential or incremental"));
  }
  request.set_force_primary(context.args().Has("primary"));
  multiadmin::BackupResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::Backup, request, &response, kStartLimit);
  if (absl::IsFailedPrecondition(status) && !request.force_primary()) {
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
  auto request = OfShard<multiadmin::GetBackupJobStatusRequest>(context);
  request.set_job_id(context.args().positionals[0]);
  multiadmin::GetBackupJobStatusResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetBackupJobStatus, request, &response, kStartLimit);
  return status.ok() ? ShowJob(context, response) : context.Fail(status);
}

int RunWait(Context& context) { return AwaitJob(context, context.args().positionals[0]); }

int RunList(Context& context) {
  auto request = OfShard<multiadmin::GetBackupsRequest>(context);
  std::uint32_t limit = 0;
  if (context.args().Has("limit") && !absl::SimpleAtoi(context.args().Get("limit"), &limit)) {
    return context.Fail(
        Usage(absl::StrCat("'", context.args().Get("limit"), "' is not a number"), "such as --limit 5"));
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
      table.Add({backup.backup_id(), backup.type(),
                 Word(multiadmin::BackupStatus_Name(backup.status()), backup.status()),
                 text::HumanBytes(backup.backup_size_bytes()), Relative(backup.stop_timestamp()),
                 RoleWord(backup.routing_role()), backup.stop_lsn(), Engine(backup.backup_id())});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

int Expire(Context& context) {
  auto request = OfShard<multiadmin::ExpireBackupsRequest>(context);
  if (context.args().Has("keep")) {
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
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::VerifyBackups,
                                         OfShard<multiadmin::VerifyBackupsRequest>(context), &response, kVerifyLimit);
  if (!status.ok()) {
    return FailNamed(context, status);
  }
  return context.Emit(response, [&] {
    return response.raw_output().empty() ? std::string("there are no backups\n") : response.raw_output();
  });
}

int RunRestore(Context& context) {
  v1::RestoreBackupRequest request;
  *request.mutable_shard_key() = OfShard<clustermetadata::ShardKey>(context);
  if (!context.args().positionals.empty()) {
    request.set_backup_id(context.args().positionals[0]);
  }
  if (context.args().Has("to-time")) {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, context.args().Get("to-time"), &time, &error)) {
      return context.Fail(Usage(absl::StrCat("'", context.args().Get("to-time"), "' is not a time: ", error),
                                "such as 2026-01-05T09:30:00Z"));
    }
    std::int64_t nanos = absl::ToUnixNanos(time);
    request.mutable_target_time()->set_seconds(nanos / 1000000000);
    request.mutable_target_time()->set_nanos(static_cast<int>(nanos % 1000000000));
  }
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> poolers =
      ReadPoolers(context, Database(context), "", nullptr);
  const PoolerNames names(context, poolers.ok() ? *poolers : std::vector<clustermetadata::Multipooler>());
  std::string what = absl::StrCat("all data of database ", Database(context));
  if (context.args().Has("standby")) {
    absl::StatusOr<clustermetadata::Multipooler> target =
        poolers.ok() ? FindPooler(context, *poolers, context.args().Get("standby")) : poolers.status();
    if (!target.ok()) {
      return context.Fail(target.status());
    }
    *request.mutable_standby() = target->id();
    what = absl::StrCat("the data of ", names.Of(*target));
  }
  absl::StatusOr<bool> yes = context.Confirm(
      absl::StrCat("replace ", what, " by backup ", request.backup_id().empty() ? "(the newest)" : request.backup_id(),
                   "? The present data is kept aside, clients are cut off meanwhile."));
  if (!yes.ok()) {
    return context.Fail(yes.status());
  }
  if (!*yes) {
    return context.Fail(absl::CancelledError("nothing was restored"));
  }
  v1::RestoreBackupResponse response;
  absl::Status status =
      CallAdmin<v1::BackupService>(context, &v1::BackupService::Stub::RestoreBackup, request, &response, kRestoreLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    absl::Duration took = absl::Seconds(response.duration().seconds()) + absl::Nanoseconds(response.duration().nanos());
    std::string text = absl::StrCat("restored from backup ", response.backup_id(), " (", response.engine(), ") after ",
                                    absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(100))));
    if (response.has_leader_id()) {
      absl::StrAppend(&text, "; ", names.Of(response.leader_id()), " is the primary");
    }
    absl::StrAppend(&text, "\n");
    for (const v1::KeptDirectory& kept : response.kept()) {
      absl::StrAppend(&text, "the former data of ", names.Of(kept.pooler_id()), " is in ", kept.path(), "\n");
    }
    return text;
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
       .flags = {kDatabaseFlag,
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
       .flags = {kDatabaseFlag, {.name = "limit", .value = "N", .help = "at most so many; 0: all"}},
       .examples = {{"multigres backup list", "newest first"}},
       .group = "BACKUP",
       .run = RunList},
      {.path = "backup status",
       .summary = "say how far a backup job is",
       .positionals = {kJob},
       .flags = {kDatabaseFlag},
       .examples = {{"multigres backup status 20260105-093011.123456_multipooler-zone2-ab12", "by its job"}},
       .group = "BACKUP",
       .run = RunStatus},
      {.path = "backup wait",
       .summary = "wait for the end of a backup job",
       .positionals = {kJob},
       .flags = {kDatabaseFlag},
       .examples = {{"multigres backup wait 20260105-093011.123456_multipooler-zone2-ab12",
                     "exit status 1: it failed"}},
       .group = "BACKUP",
       .run = RunWait},
      {.path = "backup expire",
       .summary = "remove old backups, and WAL that no backup needs",
       .flags = {kDatabaseFlag, kKeepFlag, {.name = "yes", .letter = 'y', .help = "do not ask"}},
       .examples = {{"multigres backup expire --keep 2", "all but the two newest"}},
       .group = "BACKUP",
       .run = RunExpire},
      // Upstream's scripts know of no question.
      {.path = "cluster expire-backups",
       .summary = "remove old backups without asking, as upstream's",
       .flags = {kDatabaseFlag, kKeepFlag},
       .examples = {{"multigres cluster expire-backups", "as upstream's"}},
       .hidden = true,
       .run = Expire},
      {.path = "backup verify",
       .summary = "read every backup and compare checksums",
       .flags = {kDatabaseFlag},
       .examples = {{"multigres backup verify", "exit status 1: one is damaged"}},
       .group = "BACKUP",
       .run = RunVerify},
      {.path = "backup restore",
       .summary = "bring a database, or one standby, back from a backup",
       .description =
           "Replace the data of a whole database by that of a backup and of the WAL after it, or seed one standby "
           "from a backup. Every pooler of the database must be there. The former data directories are kept beside the "
           "new ones until the next restore.",
       .positionals = {{.name = "BACKUP", .help = "the backup's name; default: the newest"}},
       .flags = {kDatabaseFlag,
                 {.name = "to-time",
                  .value = "TIME",
                  .help = "as the data was then (RFC 3339); default: all WAL that "
                          "there is"},
                 {.name = "standby", .value = "NAME", .help = "only this pooler, as a standby"},
                 {.name = "yes", .letter = 'y', .help = "do not ask"}},
       .examples = {{"multigres backup restore --to-time 2026-01-05T09:30:00Z", "to just before a mistake"},
                    {"multigres backup restore --standby multipooler/zone3", "a standby from the newest backup"}},
       .group = "BACKUP",
       .run = RunRestore},
  };
}

}  // namespace mg::cli
