// Upstream's own spellings for backups, with the lines and columns that its scripts read. Not in the help.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/backup.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/upstream.h"
#include "cli/output/table.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/backup.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;
using Admin = multiadmin::MultiadminService;

constexpr absl::Duration kStartLimit = absl::Seconds(30);
constexpr absl::Duration kJobLimit = absl::Minutes(30);
constexpr absl::Duration kVerifyLimit = absl::Minutes(60);

/// B, KB, MB and GB, of 1024 each.
std::string Size(std::uint64_t bytes) {
  if (bytes < 1024) {
    return absl::StrCat(bytes, " B");
  }
  double size = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* larger : {"KB", "MB", "GB"}) {
    if (size < 1024) {
      break;
    }
    size /= 1024;
    unit = larger;
  }
  return absl::StrFormat("%.1f %s", size, unit);
}

int RunBackup(Context& context) {
  auto request = OfBackupShard<multiadmin::BackupRequest>(context);
  request.set_type(context.args().Get("type", "full"));
  request.set_force_primary(context.args().Has("primary"));
  const bool text = context.format() == Format::kText;
  if (text) {
    context.Out(absl::StrCat("Starting ", request.type(), " backup of database ", request.database(), "\n"));
  }
  multiadmin::BackupResponse begun;
  if (absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::Backup, request, &begun, kStartLimit);
      !status.ok()) {
    return context.Fail(status);
  }
  if (text) {
    context.Out(absl::StrCat("Job ID: ", begun.job_id(), "\n"));
  }
  v1::WaitBackupJobRequest wait;
  *wait.mutable_job() = OfBackupShard<multiadmin::GetBackupJobStatusRequest>(context);
  wait.mutable_job()->set_job_id(begun.job_id());
  v1::WaitBackupJobResponse ended;
  if (absl::Status status =
          CallAdmin<v1::BackupService>(context, &v1::BackupService::Stub::WaitBackupJob, wait, &ended, kJobLimit);
      !status.ok()) {
    return context.Fail(status);
  }
  if (ended.job().status() != multiadmin::JOB_STATUS_COMPLETED) {
    return context.Fail(absl::InternalError(absl::StrCat("backup failed: ", ended.job().error_message())));
  }
  return context.Emit(ended.job(),
                      [&] { return absl::StrCat("Backup completed\nBackup ID: ", ended.job().backup_id(), "\n"); });
}

int RunList(Context& context) {
  auto request = OfBackupShard<multiadmin::GetBackupsRequest>(context);
  std::uint32_t limit = 0;
  if (context.args().Has("limit") && !absl::SimpleAtoi(context.args().Get("limit"), &limit)) {
    return context.Fail(absl::InvalidArgumentError(absl::StrCat("invalid limit ", context.args().Get("limit"))));
  }
  request.set_limit(limit);
  multiadmin::GetBackupsResponse response;
  if (absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetBackups, request, &response, kStartLimit);
      !status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&]() -> std::string {
    if (response.backups().empty()) {
      return "No backups found\n";
    }
    Table table({"BACKUP ID", "DATABASE", "TYPE", "STATUS", "POOLER ID", "ROLE", "SIZE"});
    for (const multiadmin::BackupInfo& backup : response.backups()) {
      table.Add({backup.backup_id(), backup.database(), backup.type(),
                 LastWordOf(multiadmin::BackupStatus_Name(backup.status())), backup.multipooler_service_id(),
                 LastWordOf(clustermetadata::RoutingRole_Name(backup.routing_role())),
                 Size(backup.backup_size_bytes())});
    }
    return table.Render(0, false);
  });
}

int RunVerify(Context& context) {
  multiadmin::VerifyBackupsResponse response;
  absl::Status status =
      CallAdmin<Admin>(context, &Admin::Stub::VerifyBackups, OfBackupShard<multiadmin::VerifyBackupsRequest>(context),
                       &response, kVerifyLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    absl::Duration took = rpc::ToDuration(response.duration());
    return absl::StrCat("Duration: ", absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1))), "\n",
                        response.raw_output());
  });
}

Command Make(const char* path, const char* summary, std::vector<Flag> flags, int (*run)(Context&)) {
  flags.insert(flags.begin(), {.name = "database", .value = "NAME", .help = "postgres when not given"});
  return UpstreamCommand(path, summary, std::move(flags), run);
}

}  // namespace

std::vector<Command> UpstreamBackupCommands() {
  return {
      Make("cluster backup", "make a backup",
           {{.name = "type", .value = "TYPE", .help = "full, differential or incremental"},
            {.name = "primary", .help = "copy the primary"}},
           RunBackup),
      Make("cluster list-backups", "list the backups",
           {{.name = "limit", .value = "N", .help = "at most so many; 0: all"}}, RunList),
      Make("cluster verify-backups", "read every backup and compare checksums", {}, RunVerify),
  };
}

}  // namespace mg::cli
