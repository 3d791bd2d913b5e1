// orch status: what each orch finds amiss with each shard.
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/relative.h"
#include "cli/output/table.h"
#include "common/rpc/rpc.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"
#include "multiorchservice.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::cli::v1;
using Admin = multiadmin::MultiadminService;

std::string Rfc3339(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0
             ? ""
             : absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

std::string Since(const v1::ShardProblem& problem) {
  absl::Time moment;
  std::string error;
  return absl::ParseTime(absl::RFC3339_full, problem.detected_at(), &moment, &error) ? Relative(moment, absl::Now())
                                                                                     : "";
}

absl::Status Ask(const clustermetadata::Multiorch& orch, const clustermetadata::ShardKey& shard, absl::Time deadline,
                 const PoolerNames& names, v1::OrchShardOutput* output) {
  auto port = orch.port_map().find("grpc");
  if (port == orch.port_map().end()) {
    return absl::FailedPreconditionError("its record has no gRPC port");
  }
  auto stub = multiorch::MultiorchService::NewStub(rpc::DialPlain(absl::StrCat(orch.hostname(), ":", port->second)));
  grpc::ClientContext rpc;
  rpc::SetDeadline(&rpc, deadline);
  multiorch::ShardStatusRequest request;
  *request.mutable_shard_key() = shard;
  multiorch::ShardStatusResponse response;
  MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetShardStatus(&rpc, request, &response)));
  for (const multiorch::DetectedProblem& found : response.problems()) {
    v1::ShardProblem* problem = output->add_problems();
    problem->set_code(found.code());
    problem->set_scope(found.scope());
    problem->set_description(found.description());
    problem->set_priority(found.priority());
    problem->set_detected_at(Rfc3339(found.detected_at()));
    if (found.has_pooler_id()) {
      problem->set_component(names.Of(found.pooler_id()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::OrchStatusOutput> Read(Context& context) {
  MG_ASSIGN_OR_RETURN(std::string remote, context.Remote());
  if (!remote.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("orchs are asked themselves, and those of ", remote, " listen on their own machines"),
                     {.reason = "CONTEXT_REMOTE", .hint = "'multigres shard get' works there"});
  }
  multiadmin::GetOrchsResponse orchs;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetOrchs, multiadmin::GetOrchsRequest(), &orchs));
  MG_ASSIGN_OR_RETURN(std::vector<clustermetadata::Multipooler> poolers, ReadPoolers(context, "", "", nullptr));
  std::map<std::string, clustermetadata::ShardKey> shards;
  for (const clustermetadata::Multipooler& pooler : poolers) {
    const clustermetadata::ShardKey& key = pooler.shard_key();
    shards[absl::StrCat(key.database(), "/", key.table_group(), "/", key.shard())] = key;
  }
  std::vector<clustermetadata::Multiorch> asked(orchs.orchs().begin(), orchs.orchs().end());
  if (!context.args().positionals.empty()) {
    MG_ASSIGN_OR_RETURN(clustermetadata::Multiorch one, FindRecord(asked, "multiorch", context.args().positionals[0]));
    asked = {one};
  }
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(absl::Seconds(5)));
  const PoolerNames names(context, poolers);
  v1::OrchStatusOutput output;
  for (const clustermetadata::Multiorch& orch : asked) {
    for (const auto& [name, key] : shards) {
      v1::OrchShardOutput* shard = output.add_shards();
      shard->set_orch(ComponentName("multiorch", orch.id()));
      shard->set_shard(name);
      if (absl::Status status = Ask(orch, key, deadline, names, shard); !status.ok()) {
        shard->set_error(std::string(status.message()));
      }
    }
  }
  return output;
}

int RunStatus(Context& context) {
  absl::StatusOr<v1::OrchStatusOutput> output = Read(context);
  if (!output.ok()) {
    return context.Fail(output.status());
  }
  bool well = true;
  context.Emit(*output, [&] {
    Table table({"ORCH", "SHARD", "PROBLEM", "COMPONENT", "SINCE", "DESCRIPTION"}, 5);
    for (const v1::OrchShardOutput& shard : output->shards()) {
      if (!shard.error().empty()) {
        table.Add({shard.orch(), shard.shard(), "?", "", "", shard.error()});
      } else if (shard.problems().empty()) {
        table.Add({shard.orch(), shard.shard(), "none", "", "", ""});
      }
      for (const v1::ShardProblem& problem : shard.problems()) {
        table.Add(
            {shard.orch(), shard.shard(), problem.code(), problem.component(), Since(problem), problem.description()});
      }
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
  for (const v1::OrchShardOutput& shard : output->shards()) {
    well = well && shard.error().empty() && shard.problems().empty();
  }
  return well ? kExitOk : kExitUnhealthy;
}

}  // namespace

Command OrchStatusCommand() {
  return {.path = "orch status",
          .summary = "ask the orchs what is amiss with each shard",
          .description =
              "Ask the orchs what they find amiss with each shard. Exit status 4 when anything is, or one does not "
              "answer.",
          .positionals = {{.name = "NAME", .help = "only this one: multiorch/zone1, or its cell"}},
          .examples = {{"multigres orch status", "during a failover"}},
          .group = "TOPOLOGY",
          .run = RunStatus};
}

}  // namespace mg::cli
