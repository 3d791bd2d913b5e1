#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/operation.h"
#include "cli/output/table.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

/// `width` of the terminal that shows it; 0: none does.
std::string EntriesText(const google::protobuf::RepeatedPtrField<multigres::provisioner::v1::DataEntry>& entries,
                        int width) {
  Table table({"PATH", "SIZE", "WHAT"}, 2);
  for (const auto& entry : entries) {
    table.Add({entry.path(), text::HumanBytes(entry.bytes()), entry.description()});
  }
  return table.Render(width, false);
}

absl::StatusOr<agent::PlanCleanResponse> PlanClean(Context& context) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(absl::Seconds(30)));
  agent::PlanCleanRequest request;
  *request.mutable_cluster() = context.Selector();
  return client->Call(request, deadline);
}

}  // namespace

int RunDown(Context& context) {
  const Terminal& terminal = context.terminal();
  bool clean = context.args().Has("clean");
  if (clean) {
    absl::StatusOr<agent::PlanCleanResponse> plan = PlanClean(context);
    if (!plan.ok()) {
      return context.Fail(plan.status());
    }
    if (context.args().Has("dry-run")) {
      multigres::cli::v1::CleanOutput output;
      *output.mutable_entries() = plan->entries();
      return context.Emit(output,
                          [&] { return EntriesText(plan->entries(), terminal.out_is_tty ? terminal.width : 0); });
    }
    if (!plan->entries().empty()) {
      if (!context.args().Has("quiet") && context.format() == Format::kText) {
        context.Err(absl::StrCat("this removes, for ever:\n\n",
                                 EntriesText(plan->entries(), terminal.err_is_tty ? terminal.width : 0), "\n"));
      }
      // Upstream's `cluster stop --clean` asks nothing and has no --yes: its scripts would stand still.
      const bool asks = context.args().path != "cluster stop";
      absl::StatusOr<bool> yes = asks ? context.Confirm("remove all of it?") : true;
      if (!yes.ok()) {
        return context.Fail(yes.status());
      }
      if (!*yes) {
        return context.Fail(absl::CancelledError("nothing was removed"));
      }
    }
  }
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Minutes(1));
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  HoldSignals();
  agent::DownRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_clean(clean);
  *request.mutable_options() = OptionsUntil(*deadline);
  auto output = RunOperation(context, *deadline, [&](AgentClient& client, const OperationReader& reader) {
    return client.Stream(request, reader);
  });
  if (!output.ok()) {
    return context.Fail(output.status());
  }
  return context.Emit(*output, [&] {
    const char* state = clean ? "is gone" : "is stopped; data and logs are kept";
    return absl::StrCat("cluster ", output->cluster(), " ", state, "\n");
  });
}

Command DownCommand() {
  return {
      .path = "down",
      .summary = "stop the cluster",
      .description =
          "Stop the cluster: the leader's PostgreSQL first, then the standbys, then everything else. Data and logs are "
          "kept, unless "
          "--clean asks for their removal.",
      .flags = {{.name = "clean", .help = "also remove all data, logs and state of the cluster"},
                {.name = "yes", .letter = 'y', .help = "do not ask"},
                {.name = "dry-run", .help = "with --clean: show what would be removed and do nothing"}},
      .examples = {{"multigres down", "stop; 'multigres up' goes on with the same data and ports"},
                   {"multigres down --clean --yes", "stop and remove everything without asking"}},
      .aliases = {"cluster down"},
      .group = "CLUSTER",
      .run = RunDown,
  };
}

}  // namespace mg::cli
