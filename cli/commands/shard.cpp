#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "multigres/admin/v1/shard.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;

constexpr absl::Duration kSwitchLimit = absl::Seconds(60);

absl::Status Usage(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

/// database[/tablegroup[/shard]]; nothing: the shard of upstream's default database.
absl::StatusOr<clustermetadata::ShardKey> ShardOf(const Context& context) {
  const std::vector<std::string>& names = context.args().positionals;
  std::vector<std::string> parts = absl::StrSplit(names.empty() ? "postgres" : names[0], '/');
  if (parts.size() > 3 || parts[0].empty()) {
    return Usage(absl::StrCat("'", names[0], "' is no shard"), "write DATABASE, or DATABASE/TABLEGROUP/SHARD");
  }
  clustermetadata::ShardKey shard;
  shard.set_database(parts[0]);
  shard.set_table_group(parts.size() > 1 ? parts[1] : "default");
  shard.set_shard(parts.size() > 2 ? parts[2] : "0-inf");
  return shard;
}

std::string Name(const clustermetadata::ID& id) { return ComponentName("multipooler", id); }

int RunSwitchPrimary(Context& context) {
  absl::StatusOr<clustermetadata::ShardKey> shard = ShardOf(context);
  if (!shard.ok()) {
    return context.Fail(shard.status());
  }
  v1::SwitchPrimaryRequest request;
  *request.mutable_shard_key() = *shard;
  request.set_reason(context.args().Has("reason") ? context.args().Get("reason") : "multigres shard switch-primary");
  if (context.args().Has("to")) {
    absl::StatusOr<std::vector<clustermetadata::Multipooler>> poolers =
        ReadPoolers(context, shard->database(), "", nullptr);
    if (!poolers.ok()) {
      return context.Fail(poolers.status());
    }
    absl::StatusOr<clustermetadata::Multipooler> target = FindRecord(*poolers, "multipooler", context.args().Get("to"));
    if (!target.ok()) {
      return context.Fail(target.status());
    }
    *request.mutable_target() = target->id();
  }
  v1::SwitchPrimaryResponse response;
  absl::Status status =
      CallAdmin<v1::ShardService>(context, &v1::ShardService::Stub::SwitchPrimary, request, &response, kSwitchLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&]() -> std::string {
    if (response.new_leader_id().name() == response.old_leader_id().name()) {
      return absl::StrCat(Name(response.new_leader_id()), " is the primary already\n");
    }
    absl::Duration took = absl::Seconds(response.duration().seconds()) + absl::Nanoseconds(response.duration().nanos());
    return absl::StrCat(Name(response.new_leader_id()), " is the primary now (before: ", Name(response.old_leader_id()),
                        "), after ", absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1))), "\n");
  });
}

}  // namespace

std::vector<Command> ShardCommands() {
  return {
      {.path = "shard switch-primary",
       .summary = "have another node lead, with no failed statement",
       .description =
           "Have another node of a shard lead, planned: statements that run are finished, open transactions get a "
           "moment, new work waits at the gateways, and sessions go on at the new primary. Sessions that hold what no "
           "other node can have (temporary tables, cursors, LISTEN, advisory locks) are told and end.",
       .positionals = {{.name = "SHARD", .help = "DATABASE or DATABASE/TABLEGROUP/SHARD (postgres)"}},
       .flags = {{.name = "to", .value = "NAME", .help = "who should lead: multipooler/zone2, or its cell"},
                 {.name = "reason", .value = "TEXT", .help = "for the logs"}},
       .examples = {{"multigres shard switch-primary", "before maintenance of the primary"},
                    {"multigres shard switch-primary --to multipooler/zone2", "to a certain one"}},
       .aliases = {"cluster switch-primary"},
       .group = "TOPOLOGY",
       .run = RunSwitchPrimary},
  };
}

}  // namespace mg::cli
