#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/table.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;
namespace v1 = multigres::provisioner::v1;

namespace {

/// How much of the ports a terminal's width leaves room for.
enum class PortDetail { kNamed, kNumbers, kNone };

std::string PortsText(const google::protobuf::Map<std::string, std::int32_t>& ports, PortDetail detail) {
  std::vector<std::pair<std::string, std::int32_t>> sorted(ports.begin(), ports.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return absl::StrJoin(sorted, " ", [&](std::string* out, const auto& port) {
    absl::StrAppend(out, detail == PortDetail::kNamed ? absl::StrCat(port.first, ":") : "", port.second);
  });
}

std::string RoleText(const v1::ComponentStatus& component) {
  if (component.pid() == 0) {
    return "";
  }
  if (component.role() == "standby" && component.has_replication_lag_bytes() && component.replication_lag_bytes() > 0) {
    return absl::StrCat("standby -", text::HumanBytes(static_cast<std::uint64_t>(component.replication_lag_bytes())));
  }
  return component.role();
}

Table ComponentTable(const v1::ClusterStatus& status, PortDetail detail, bool with_reason, bool colour) {
  std::vector<std::string> headers = {"NAME", "STATE", "ROLE", "PID", "UPTIME", "RESTARTS"};
  if (detail != PortDetail::kNone) {
    headers.push_back("PORTS");
  }
  headers.push_back("IMPLEMENTATION");
  if (with_reason) {
    headers.push_back("REASON");
  }
  Table table(headers, with_reason ? static_cast<int>(headers.size()) - 1 : -1);
  for (const auto& component : status.components()) {
    std::vector<std::string> row = {
        component.name(),
        Styled(component.state(), StyleOfState(component.state()), colour),
        RoleText(component),
        component.pid() == 0 ? "" : absl::StrCat(component.pid()),
        component.pid() == 0 ? "" : text::HumanDuration(absl::Seconds(component.uptime_seconds())),
        absl::StrCat(component.restarts())};
    if (detail != PortDetail::kNone) {
      row.push_back(PortsText(component.ports(), detail));
    }
    row.push_back(component.implementation());
    if (with_reason) {
      row.push_back(component.reason());
    }
    table.Add(std::move(row));
  }
  return table;
}

/// On a terminal, with as much as its width holds; what is piped has every column.
std::string FittingTable(const v1::ClusterStatus& status, const Terminal& terminal) {
  if (!terminal.out_is_tty) {
    return ComponentTable(status, PortDetail::kNamed, /*with_reason=*/true, terminal.out_colour).Render(0, false);
  }
  bool reasons = std::any_of(status.components().begin(), status.components().end(),
                             [](const auto& component) { return !component.reason().empty(); });
  for (PortDetail detail : {PortDetail::kNamed, PortDetail::kNumbers}) {
    Table table = ComponentTable(status, detail, reasons, terminal.out_colour);
    if (table.LeastWidth() <= terminal.width) {
      return table.Render(terminal.width, terminal.out_colour);
    }
  }
  return ComponentTable(status, PortDetail::kNone, reasons, terminal.out_colour)
      .Render(terminal.width, terminal.out_colour);
}

std::string StatusText(const v1::ClusterStatus& status, const Terminal& terminal) {
  bool colour = terminal.out_colour;
  std::string text = absl::StrCat("cluster ", Styled(status.cluster(), Style::kBold, colour), "  ",
                                  Styled(status.state(), StyleOfState(status.state()), colour), "  ",
                                  Styled(status.root_directory(), Style::kDim, colour), "\n");
  if (!status.reason().empty()) {
    absl::StrAppend(&text, status.reason(), "\n");
  }
  if (!status.components().empty()) {
    absl::StrAppend(&text, "\n", FittingTable(status, terminal));
  }
  std::string endpoints;
  for (const auto& endpoint : status.endpoints()) {
    if (status.state() == "stopped") {
      break;
    }
    if (endpoint.kind() == "postgres-rw" || endpoint.kind() == "postgres-ro") {
      absl::StrAppend(&endpoints, "  ", endpoint.kind(), "  ", endpoint.url(), "  ", endpoint.name(), "\n");
    }
  }
  if (!endpoints.empty()) {
    absl::StrAppend(&text, "\nendpoints\n", endpoints);
  }
  for (const std::string& notice : status.notices()) {
    absl::StrAppend(&text, "\n", Styled("note:", Style::kYellow, colour), " ", notice);
  }
  return status.notices().empty() ? text : absl::StrCat(text, "\n");
}

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
  context.Emit(response->status(), [&] { return StatusText(response->status(), context.terminal()); });
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
