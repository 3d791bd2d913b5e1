// backup restore: a whole database, or one standby; its steps while it goes on.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/backup.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/stream_watcher.h"
#include "cli/output/progress.h"
#include "cli/output/render.h"
#include "common/rpc/proto_time.h"
#include "multigres/admin/v1/backup.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;
namespace prov = multigres::provisioner::v1;
using Service = v1::BackupService;

constexpr absl::Duration kRestoreLimit = absl::Minutes(30);
constexpr absl::Duration kCancelLimit = absl::Seconds(5);
constexpr absl::Duration kGrace = absl::Seconds(15);

absl::StatusOr<v1::RestoreBackupRequest> RequestOf(Context& context) {
  v1::RestoreBackupRequest request;
  *request.mutable_shard_key() = OfBackupShard<clustermetadata::ShardKey>(context);
  if (!context.args().positionals.empty()) {
    request.set_backup_id(context.args().positionals[0]);
  }
  if (context.args().Has("to-time")) {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, context.args().Get("to-time"), &time, &error)) {
      return BackupUsage(absl::StrCat("'", context.args().Get("to-time"), "' is not a time: ", error),
                         "such as 2026-01-05T09:30:00Z");
    }
    std::int64_t nanos = absl::ToUnixNanos(time);
    request.mutable_target_time()->set_seconds(nanos / 1000000000);
    request.mutable_target_time()->set_nanos(static_cast<int>(nanos % 1000000000));
  }
  if (context.args().Has("follow") && (!request.backup_id().empty() || request.has_target_time())) {
    return BackupUsage("--follow joins a restore that has begun; what it restores is settled",
                       "leave the backup and --to-time out");
  }
  return request;
}

/// For programs: stderr is a stream of objects, a line of JSON or a document of YAML for each step that has ended and
/// one for an error.
void ErrForProgram(Context& context, const std::string& object) {
  context.Err(context.format() == Format::kJson ? OnOneLine(object) : absl::StrCat("---\n", object));
}

int Fail(Context& context, const absl::Status& status) {
  std::string nothing, error;
  context.Redirect(&nothing, &error);
  const int exit_status = context.Fail(status);
  context.Redirect(nullptr);
  if (context.format() == Format::kText) {
    context.Err(error);
  } else {
    ErrForProgram(context, error);
  }
  return exit_status;
}

void ShowForProgram(Context& context, const prov::StepProgress& step) {
  if (step.state() == prov::STEP_STATE_RUNNING || context.args().Has("quiet")) {
    return;
  }
  std::string json;
  if (google::protobuf::util::MessageToJsonString(step, &json).ok()) {
    ErrForProgram(context, absl::StrCat("{\"step\":", json, "}\n"));
  }
}

std::string FollowCommand(Context& context) {
  return absl::StrCat("multigres backup restore --follow",
                      context.args().Has("database") ? " --database " + BackupDatabase(context) : "");
}

/// Ctrl-C calls off the restore that this command has begun, where that is possible; else it only ends the command.
class RestoreInterrupt {
 public:
  RestoreInterrupt(Context& context, const AdminRoute& route, grpc::ClientContext* call)
      : context_(context), route_(route), call_(call) {}

  void Act() {
    if (context_.args().Has("follow")) {
      call_->TryCancel();
      return;
    }
    v1::CancelRestoreRequest request;
    *request.mutable_shard_key() = OfBackupShard<clustermetadata::ShardKey>(context_);
    v1::CancelRestoreResponse response;
    grpc::ClientContext rpc;
    rpc::SetDeadline(&rpc, absl::Now() + kCancelLimit);
    route_.prepare(&rpc);
    grpc::Status cancelled = Service::NewStub(route_.channel)->CancelRestore(&rpc, request, &response);
    if (!cancelled.ok()) {
      call_->TryCancel();  // else the stream ends by itself, with what has become of it
    }
    called_off_ = cancelled.ok();
  }
  bool called_off() const { return called_off_; }

 private:
  Context& context_;
  const AdminRoute& route_;
  grpc::ClientContext* const call_;
  std::atomic<bool> called_off_ = false;
};

absl::StatusOr<v1::RestoreBackupResponse> Follow(Context& context, const AdminRoute& route,
                                                 const v1::RunRestoreRequest& request) {
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(kRestoreLimit));
  const bool text = context.format() == Format::kText;
  grpc::ClientContext call;
  rpc::SetDeadline(&call, deadline);
  route.prepare(&call);
  ProgressView view(context.terminal(), context.args().Has("quiet") || !text);
  RestoreInterrupt interrupt(context, route, &call);
  std::optional<v1::RestoreBackupResponse> result;
  absl::Status status;
  bool interrupted = false;
  {
    StreamWatcher watcher(context, view, deadline + kGrace,
                          {.interrupted = [&] { interrupt.Act(); }, .stuck = [&] { call.TryCancel(); }});
    auto stream = Service::NewStub(route.channel)->RunRestore(&call, request);
    v1::RunRestoreResponse news;
    while (stream->Read(&news)) {
      if (news.has_result()) {
        result = news.result();
      } else if (text) {
        prov::ProvisionProgress progress;
        *progress.mutable_step() = news.step();
        view.Show(progress);
      } else {
        ShowForProgram(context, news.step());
      }
    }
    status = route.outcome(stream->Finish());
    interrupted = watcher.interrupted();
  }
  view.Finish();
  if (status.ok() && result.has_value()) {
    return *std::move(result);
  }
  if (interrupted && interrupt.called_off()) {
    return MakeError(absl::StatusCode::kCancelled, "interrupted: the restore was called off, the data is as before",
                     {.reason = "INTERRUPTED", .hint = "repeat the command when it shall go on"});
  }
  if (interrupted && absl::IsCancelled(status)) {
    return MakeError(absl::StatusCode::kCancelled, "interrupted: the restore goes on",
                     {.reason = "INTERRUPTED", .hint = absl::StrCat("'", FollowCommand(context), "' shows it")});
  }
  if (absl::IsDeadlineExceeded(status)) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "the restore takes longer than the command waited",
                     {.reason = "RESTORE_GOES_ON", .hint = absl::StrCat("'", FollowCommand(context), "' shows it")});
  }
  return status.ok() ? absl::UnknownError("the restore's stream ended without a result") : status;
}

std::string ResultText(const v1::RestoreBackupResponse& response, const PoolerNames& names) {
  absl::Duration took = rpc::ToDuration(response.duration());
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
}

int RunRestore(Context& context) {
  HoldSignals();
  v1::RunRestoreRequest request;
  request.set_follow(context.args().Has("follow"));
  absl::StatusOr<v1::RestoreBackupRequest> asked = RequestOf(context);
  if (!asked.ok()) {
    return Fail(context, asked.status());
  }
  *request.mutable_restore() = *std::move(asked);
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> poolers =
      ReadPoolers(context, BackupDatabase(context), "", nullptr);
  // Before anybody is asked, and before a step is shown.
  if (poolers.ok() && poolers->empty()) {
    if (absl::Status known = CheckDatabase(context, BackupDatabase(context)); !known.ok()) {
      return Fail(context, known);
    }
  }
  const PoolerNames names(context, poolers.ok() ? *poolers : std::vector<clustermetadata::Multipooler>());
  std::string what = absl::StrCat("all data of database ", BackupDatabase(context));
  if (context.args().Has("standby")) {
    absl::StatusOr<clustermetadata::Multipooler> target =
        poolers.ok() ? FindPooler(context, *poolers, context.args().Get("standby")) : poolers.status();
    if (!target.ok()) {
      return Fail(context, target.status());
    }
    *request.mutable_restore()->mutable_standby() = target->id();
    what = absl::StrCat("the data of ", names.Of(*target));
  }
  if (!request.follow()) {
    absl::StatusOr<bool> yes = ConfirmWithSignals(
        context, absl::StrCat("replace ", what, " by backup ",
                              request.restore().backup_id().empty() ? "(the newest)" : request.restore().backup_id(),
                              "? The present data is kept aside, clients are cut off meanwhile."));
    if (!yes.ok()) {
      return Fail(context, yes.status());
    }
    if (!*yes) {
      return Fail(context, absl::CancelledError("nothing was restored"));
    }
  }
  absl::StatusOr<AdminRoute> route = context.Admin();
  absl::StatusOr<v1::RestoreBackupResponse> response = route.ok() ? Follow(context, *route, request) : route.status();
  if (!response.ok()) {
    return Fail(context, response.status());
  }
  return context.Emit(*response, [&] { return ResultText(*response, names); });
}

}  // namespace

std::vector<Command> RestoreCommands() {
  return {
      {.path = "backup restore",
       .summary = "bring a database, or one standby, back from a backup",
       .description =
           "Replace the data of a whole database by that of a backup and of the WAL after it, or seed one standby "
           "from a backup. Every pooler of the database must be there. First the backup is recovered beside the "
           "present data, which serves meanwhile: what fails until then, or is interrupted, changes nothing. Then the "
           "present data is set aside, and put back if the new data does not start; an interrupt ends only the "
           "command then. The former data directories are kept beside the new ones until the next restore. With --json "
           "stderr has a line of JSON for each step that has ended (none with --quiet), and an error as the last line.",
       .positionals = {{.name = "BACKUP",
                        .help = "the backup's name; default: the newest that leads to the wished data"}},
       .flags = {BackupDatabaseFlag(),
                 {.name = "to-time",
                  .value = "TIME",
                  .help = "as the data was then (RFC 3339); default: all WAL that "
                          "there is"},
                 {.name = "standby", .value = "NAME", .help = "only this pooler, as a standby"},
                 {.name = "follow", .help = "show the restore that is under way, or how the last one ended"},
                 {.name = "yes", .letter = 'y', .help = "do not ask"}},
       .examples = {{"multigres backup restore --to-time 2026-01-05T09:30:00Z", "to just before a mistake"},
                    {"multigres backup restore --standby multipooler/zone3", "a standby from the newest backup"},
                    {"multigres backup restore --follow", "after an interrupt"}},
       .group = "BACKUP",
       .run = RunRestore},
  };
}

}  // namespace mg::cli
