#include "common/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/cluster_text.h"
#include "cli/output/table.h"
#include "common/status/exit_code.h"
#include "common/text/text.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

int RunStatus(Context& context) {
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Seconds(5));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  agent::GetClusterRequest request;
  *request.mutable_cluster() = context.Selector();
  absl::StatusOr<agent::GetClusterResponse> response = (*client)->Call(request, *deadline);
  if (!response.ok()) {
    return context.Fail(response.status());
  }
  context.Emit(response->status(), [&] { return ClusterText(response->status(), context.terminal()); });
  return response->status().state() == "running" ? kExitOk : kExitUnhealthy;
}

int RunList(Context& context) {
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Seconds(10));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  absl::StatusOr<agent::ListClustersResponse> response = (*client)->Call(agent::ListClustersRequest(), *deadline);
  if (!response.ok()) {
    return context.Fail(response.status());
  }
  return context.Emit(*response, [&]() -> std::string {
    if (response->clusters().empty()) {
      return "no clusters; 'multigres up' makes one\n";
    }
    bool colour = context.terminal().out_colour;
    Table table({"NAME", "STATE", "CELLS", "POSTGRES", "DIRECTORY"}, 4);
    for (const auto& cluster : response->clusters()) {
      table.Add({cluster.name(), Styled(cluster.state(), StyleOfState(cluster.state()), colour),
                 absl::StrCat(cluster.cells()), absl::StrJoin(cluster.postgres_ports(), ","),
                 cluster.root_directory()});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, colour);
  });
}

}  // namespace

Command StatusCommand() {
  return {
      .path = "status",
      .summary = "show how the cluster is",
      .description =
          "Show how the cluster is. Every fact is probed when asked. Exit status 0 when it is healthy, 4 when it is "
          "not or is stopped. "
          "Starts no component.",
      .examples = {{"multigres status", "the default cluster, or the one of this directory"},
                   {"multigres status --json | jq -r '.components[] | select(.ready | not) | .name'",
                    "what is not ready"}},
      .aliases = {"cluster status"},
      .group = "CLUSTER",
      .run = RunStatus,
  };
}

Command ListCommand() {
  return {
      .path = "list",
      .summary = "list all clusters of this user",
      .examples = {{"multigres list", "names, states and ports"}},
      .aliases = {"cluster list"},
      .group = "CLUSTER",
      .run = RunList,
  };
}

}  // namespace mg::cli
