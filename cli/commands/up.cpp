#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/component.h"
#include "cli/commands/operation.h"
#include "cli/commands/rolling.h"
#include "cli/output/table.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

constexpr absl::Duration kUpTimeout = absl::Minutes(2);

absl::StatusOr<int> CellsOf(const Context& context) {
  std::string text = context.args().Get("cells", "0");
  int cells = 0;
  if (!absl::SimpleAtoi(text, &cells) || (context.args().Has("cells") && (cells < 1 || cells > 7))) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", text, "' is not a number of cells"),
                     {.reason = "USAGE", .hint = "use a number from 1 to 7"});
  }
  return cells;
}

std::string PlanText(const multigres::provisioner::v1::PlanClusterResponse& plan, const Terminal& terminal) {
  Table table({"STEP", "ACTION", "AFTER", "WHAT"}, 3);
  for (const auto& step : plan.steps()) {
    std::string what = step.component().argv_size() > 0 ? absl::StrJoin(step.component().argv(), " ") : step.summary();
    table.Add({step.id(), step.action(), absl::StrJoin(step.after(), ","), what});
  }
  return absl::StrCat("cluster ", plan.cluster(), " in ", plan.root_directory(), "\n\n",
                      table.Render(terminal.out_is_tty ? terminal.width : 0, terminal.out_colour));
}

std::string ChangesText(const multigres::provisioner::v1::PlanClusterResponse& plan, const Terminal& terminal) {
  if (plan.changes().empty()) {
    return absl::StrCat("cluster ", plan.cluster(), ": nothing would change in what runs\n");
  }
  Table table({"COMPONENT", "ACTION", "SETTING", "NOW", "THEN"}, 4);
  std::string reasons;
  bool refused = false, later = false;
  for (const auto& change : plan.changes()) {
    refused = refused || change.action() == "refuse";
    later = later || change.action() == "later";
    if (change.settings().empty()) {
      table.Add({change.component(), change.action(), "", "", ""});
    }
    for (const auto& setting : change.settings()) {
      table.Add({change.component(), change.action(), setting.name(), setting.before(), setting.after()});
    }
    if (!change.reason().empty()) {
      absl::StrAppend(&reasons, "\n", change.component(), ": ", change.reason(), "\n");
    }
  }
  return absl::StrCat(table.Render(terminal.out_is_tty ? terminal.width : 0, terminal.out_colour), reasons,
                      refused ? "" : "\n'multigres up' applies this",
                      refused ? ""
                      : later ? "; what is marked later counts from that component's next start\n"
                              : "\n");
}

int DryRun(Context& context, int cells, bool only_changes) {
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Seconds(30));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  agent::PlanUpRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_cells(cells);
  absl::StatusOr<agent::PlanUpResponse> response = (*client)->Call(request, *deadline);
  if (!response.ok()) {
    return context.Fail(response.status());
  }
  return context.Emit(response->plan(), [&] {
    return only_changes ? ChangesText(response->plan(), context.terminal())
                        : PlanText(response->plan(), context.terminal());
  });
}

int RunDiff(Context& context) {
  absl::StatusOr<int> cells = CellsOf(context);
  return cells.ok() ? DryRun(context, *cells, /*only_changes=*/true) : context.Fail(cells.status());
}

/// What both `up` and `restart` say at the end.
int Finish(Context& context, multigres::cli::v1::OperationOutput output) {
  if (absl::Status status = AddStatus(context, &output); !status.ok()) {
    return context.Fail(WithContext(status, "the cluster is up, but its state cannot be read"));
  }
  return context.Emit(output, [&] {
    std::string text = output.unchanged()
                           ? absl::StrCat("cluster ", output.cluster(), " is running\n")
                           : absl::StrCat("\ncluster ", output.cluster(), " is up after ",
                                          text::HumanDuration(absl::Seconds(output.elapsed_seconds())), "\n");
    return absl::StrCat(text, "\npsql \"", output.conninfo(), "\"\n");
  });
}

int RunRestart(Context& context) {
  // Upstream's `cluster restart --clean`: everything anew.
  if (context.args().Has("clean")) {
    int stopped = RunDown(context);
    return stopped == 0 ? RunUp(context) : stopped;
  }
  absl::StatusOr<absl::Time> deadline = context.Deadline(kUpTimeout);
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  HoldSignals();
  if (context.args().Has("rolling")) {
    if (!context.args().positionals.empty()) {
      return context.Fail(MakeError(absl::StatusCode::kInvalidArgument,
                                    "--rolling restarts every PostgreSQL, and takes no names",
                                    {.reason = "USAGE", .hint = "leave the names out"}));
    }
    absl::StatusOr<multigres::cli::v1::RollingOutput> output = RestartRolling(context, *deadline);
    if (!output.ok()) {
      return context.Fail(output.status());
    }
    return context.Emit(*output, [&] {
      return absl::StrCat("restarted ", absl::StrJoin(output->restarted(), ", "), " in ",
                          text::HumanDuration(absl::Seconds(output->elapsed_seconds())), "; ", output->primary(),
                          " is the primary\n");
    });
  }
  if (context.args().positionals.empty()) {
    agent::RestartRequest request;
    *request.mutable_cluster() = context.Selector();
    *request.mutable_options() = OptionsUntil(*deadline);
    auto output = RunOperation(context, *deadline, [&](AgentClient& client, const OperationReader& reader) {
      return client.Stream(request, reader);
    });
    return output.ok() ? Finish(context, *std::move(output)) : context.Fail(output.status());
  }
  absl::StatusOr<std::vector<std::string>> names = NamedComponents(context);
  if (!names.ok()) {
    return context.Fail(names.status());
  }
  for (const std::string& name : *names) {
    WarnOfDependants(context, name, *names);
    agent::ComponentRequest request;
    *request.mutable_cluster() = context.Selector();
    request.set_component(name);
    *request.mutable_options() = OptionsUntil(*deadline);
    auto output = RunOperation(context, *deadline, [&](AgentClient& client, const OperationReader& reader) {
      return client.RestartComponent(request, reader);
    });
    if (!output.ok()) {
      return context.Fail(output.status());
    }
    context.Emit(*output, [&] { return absl::StrCat(name, " is running\n"); });
  }
  return 0;
}

int RunComponents(Context& context, bool start) {
  if (context.args().positionals.empty()) {
    return start ? RunUp(context) : RunDown(context);
  }
  absl::StatusOr<absl::Time> deadline = context.Deadline(kUpTimeout);
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  HoldSignals();
  absl::StatusOr<std::vector<std::string>> names = NamedComponents(context);
  if (!names.ok()) {
    return context.Fail(names.status());
  }
  if (!start) {
    std::reverse(names->begin(), names->end());  // first who needs the others
  }
  for (const std::string& name : *names) {
    if (!start) {
      WarnOfDependants(context, name, *names);
    }
    agent::ComponentRequest request;
    *request.mutable_cluster() = context.Selector();
    request.set_component(name);
    *request.mutable_options() = OptionsUntil(*deadline);
    auto output = RunOperation(context, *deadline, [&](AgentClient& client, const OperationReader& reader) {
      return start ? client.StartComponent(request, reader) : client.StopComponent(request, reader);
    });
    if (!output.ok()) {
      return context.Fail(output.status());
    }
    context.Emit(*output, [&] {
      const char* word = start ? "is running" : "is stopped";
      return absl::StrCat(name, " ", word, output->unchanged() ? " already\n" : "\n");
    });
  }
  return 0;
}

}  // namespace

int RunUp(Context& context) {
  absl::StatusOr<int> cells = CellsOf(context);
  if (!cells.ok()) {
    return context.Fail(cells.status());
  }
  if (context.args().Has("dry-run")) {
    return DryRun(context, *cells, /*only_changes=*/false);
  }
  absl::StatusOr<absl::Time> deadline = context.Deadline(kUpTimeout);
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  HoldSignals();
  agent::UpRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_cells(*cells);
  *request.mutable_options() = OptionsUntil(*deadline);
  auto output = RunOperation(context, *deadline, [&](AgentClient& client, const OperationReader& reader) {
    return client.Stream(request, reader);
  });
  return output.ok() ? Finish(context, *std::move(output)) : context.Fail(output.status());
}

Command UpCommand() {
  return {
      .path = "up",
      .summary = "bring the cluster up",
      .description =
          "Bring the cluster up: etcd, the Admin API, and in every cell PostgreSQL with its pooler, orchestrator and "
          "gateway. "
          "Returns when SELECT 1 works through every gateway and every standby streams. On a running cluster it "
          "repairs what is missing, and applies what the configuration file (or --cells) changed to only the "
          "components that it changes; see 'multigres cluster diff'.",
      .flags = {{.name = "cells",
                 .value = "N",
                 .help = "number of cells of a cluster without a configuration file (1 to 7)"},
                {.name = "dry-run", .help = "print the plan and do nothing"}},
      .examples = {{"multigres up", "bring up the cluster of this directory, or the default one with three cells"},
                   {"multigres up --cells 1", "one cell: no redundancy, least memory"},
                   {"multigres up --dry-run --json", "what would be done, for a program"}},
      .aliases = {"cluster up"},
      .group = "CLUSTER",
      .run = RunUp,
  };
}

Command DiffCommand() {
  return {
      .path = "cluster diff",
      .summary = "show what the configuration would change in the running cluster",
      .description =
          "Compare the configuration with what runs, component by component. 'multigres up' applies exactly this: it "
          "restarts what changed, adds and removes cells, and leaves everything else alone. What would endanger data "
          "is shown as refused, with the reason. Nothing is done here.",
      .flags = {{.name = "cells", .value = "N", .help = "as if 'up' were given this number of cells (1 to 7)"}},
      .examples = {{"multigres cluster diff", "after an edit of multigres.yaml"},
                   {"multigres cluster diff --json | jq '.changes[].component'", "the components, for a program"}},
      .group = "CLUSTER",
      .run = RunDiff,
  };
}

Command RestartCommand() {
  return {
      .path = "restart",
      .summary = "stop and start the cluster, or single components",
      .positionals = {{.name = "NAME",
                       .help = "components such as multipooler/zone1, a kind, or a cell; none: the whole cluster",
                       .repeated = true}},
      .flags =
          {{.name = "clean", .help = "upstream's: remove all data first", .hidden = true},
           {.name = "yes", .letter = 'y', .help = "do not ask", .hidden = true},
           {.name = "rolling",
            .help =
                "every PostgreSQL, one at a time, the primary last and after a hand-over: clients see pauses only"}},
      .examples = {{"multigres restart", "restart everything, keeping data and ports"},
                   {"multigres restart --rolling", "every PostgreSQL, with no failed statement"},
                   {"multigres restart multigateway/zone2", "restart one gateway"}},
      .aliases = {"cluster restart"},
      .group = "CLUSTER",
      .run = RunRestart,
  };
}

Command StartComponentCommand() {
  return {
      .path = "cluster start",
      .summary = "start single components, or the cluster",
      .positionals = {{.name = "NAME",
                       .help = "components such as multipooler/zone1, a kind, or a cell",
                       .repeated = true}},
      .flags = {{.name = "wait-for-bootstrap", .help = "upstream's; without names it always waits", .hidden = true}},
      .examples = {{"multigres cluster start multiorch/zone3", "start one orchestrator"}},
      .group = "CLUSTER",
      .run = [](Context& context) { return RunComponents(context, /*start=*/true); },
  };
}

Command StopComponentCommand() {
  return {
      .path = "cluster stop",
      .summary = "stop single components, or the cluster",
      .positionals = {{.name = "NAME",
                       .help = "components such as multipooler/zone1, a kind, or a cell",
                       .repeated = true}},
      .flags = {{.name = "clean", .help = "upstream's: remove all data too, without a question", .hidden = true},
                {.name = "yes", .letter = 'y', .help = "do not ask", .hidden = true}},
      .examples = {{"multigres cluster stop multigateway/zone3", "stop one gateway"}},
      .group = "CLUSTER",
      .run = [](Context& context) { return RunComponents(context, /*start=*/false); },
  };
}

}  // namespace mg::cli
