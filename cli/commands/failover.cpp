#include "cli/commands/failover.h"

#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/failovers/failovers.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::cli::v1;

constexpr absl::Duration kLookBack = absl::Hours(24 * 7);

}  // namespace

agent::TailLogsRequest FailoverRecords(const Context& context, absl::Time since) {
  agent::TailLogsRequest request;
  *request.mutable_cluster() = context.Selector();
  for (const std::string& kind : kFailoverKinds) {
    request.add_selectors(kind);
  }
  request.set_grep(kFailoverRecords);
  request.set_structured(true);
  if (since != absl::InfinitePast()) {
    timespec time = absl::ToTimespec(since);
    request.mutable_since()->set_seconds(time.tv_sec);
    request.mutable_since()->set_nanos(static_cast<int>(time.tv_nsec));
  }
  return request;
}

absl::StatusOr<std::vector<v1::FailoverOutput>> ReadFailovers(Context& context, absl::Time since, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  std::vector<agent::LogRecord> records;
  MG_RETURN_IF_ERROR(client->Stream(
      FailoverRecords(context, since),
      [&](const agent::TailLogsResponse& batch, const std::vector<absl::string_view>&) {
        records.insert(records.end(), batch.records().begin(), batch.records().end());
        return true;
      },
      deadline));
  return TellFailovers(records);
}

int ShowLastFailover(Context& context, const std::optional<std::string>& database) {
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Seconds(30));
  absl::StatusOr<std::vector<v1::FailoverOutput>> told =
      deadline.ok() ? ReadFailovers(context, absl::Now() - kLookBack, *deadline) : deadline.status();
  if (!told.ok()) {
    return context.Fail(told.status());
  }
  if (database.has_value()) {
    // Here by what the record tells, so that it works while the Admin API is away; a wrong name is told by that.
    std::erase_if(*told, [&](const v1::FailoverOutput& failover) { return failover.database() != *database; });
    if (absl::Status known = told->empty() ? CheckDatabase(context, *database) : absl::OkStatus();
        absl::IsNotFound(known)) {
      return context.Fail(known);
    }
  }
  if (told->empty()) {
    return context.Fail(MakeError(absl::StatusCode::kNotFound,
                                  absl::StrCat("the primary", database.has_value() ? " of database " : "",
                                               database.value_or(""), " has not changed in the last seven days"),
                                  {.reason = "NO_FAILOVER",
                                   .hint = "'multigres why NAME' explains a component, 'multigres events' shows what "
                                           "happened"}));
  }
  return context.Emit(told->back(), [&] { return FailoverText(told->back()); });
}

Command ShardWhyCommand() {
  return {
      .path = "shard why",
      .summary = "explain the last change of the primary, step by step",
      .description =
          "Explain the last change of the primary: what was noticed and by whom, who was recruited and promoted, when "
          "the new rule was durable, when the gateways knew, and when the old primary was back; each with the time "
          "since it was noticed. Told from the components' logs of the last seven days.",
      .positionals = {{.name = "SHARD", .help = "DATABASE or DATABASE/TABLEGROUP/SHARD; default: the last of any"}},
      .examples = {{"multigres shard why", "what the last failover did, and where its time went"},
                   {"multigres shard why shop", "the last one of another database"}},
      .group = "TOPOLOGY",
      .run =
          [](Context& context) {
            const std::vector<std::string>& names = context.args().positionals;
            return ShowLastFailover(
                context, names.empty() ? std::nullopt : std::optional(names[0].substr(0, names[0].find('/'))));
          },
  };
}

}  // namespace mg::cli
