#include "cli/output/cluster_text.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/output/table.h"
#include "common/text/text.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::provisioner::v1;

/// How much of the ports a terminal's width leaves room for.
enum class PortDetail { kNamed, kNumbers };

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
  std::vector<std::string> headers = {"NAME", "STATE", "ROLE", "PID", "UPTIME", "RESTARTS", "PORTS", "IMPLEMENTATION"};
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
        absl::StrCat(component.restarts()),
        PortsText(component.ports(), detail),
        component.implementation()};
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
  Table named = ComponentTable(status, PortDetail::kNamed, reasons, terminal.out_colour);
  if (named.LeastWidth() <= terminal.width) {
    return named.Render(terminal.width, terminal.out_colour);
  }
  return ComponentTable(status, PortDetail::kNumbers, reasons, terminal.out_colour)
      .Render(terminal.width, terminal.out_colour);
}

/// Behind the component of an endpoint that nobody serves now: what it is instead of ready.
std::string Unserved(const v1::ClusterStatus& status, const std::string& component, bool colour) {
  for (const auto& one : status.components()) {
    if (one.name() == component && !one.ready()) {
      return absl::StrCat(" ", Styled(one.state(), StyleOfState(one.state()), colour));
    }
  }
  return "";
}

/// Where clients find it. The URL stands first: that one is copied, and is never cut.
std::string EndpointsText(const v1::ClusterStatus& status, const Terminal& terminal) {
  Table table({"ENDPOINT", "KIND", "COMPONENT"});
  Table least({"ENDPOINT", "KIND"});
  bool any = false;
  for (const auto& endpoint : status.endpoints()) {
    if (endpoint.kind() == "postgres-rw" || endpoint.kind() == "postgres-ro") {
      table.Add({endpoint.url(), endpoint.kind(),
                 absl::StrCat(endpoint.name(), Unserved(status, endpoint.name(), terminal.out_colour))});
      least.Add({endpoint.url(), endpoint.kind()});
      any = true;
    }
  }
  if (!any || status.state() == "stopped") {
    return "";
  }
  // On a terminal that is narrower than a URL it goes on in the next line.
  const int width = terminal.out_is_tty ? std::max(terminal.width, least.LeastWidth()) : 0;
  return absl::StrCat("\n", table.Render(width, terminal.out_colour));
}

}  // namespace

std::string ClusterText(const v1::ClusterStatus& status, const Terminal& terminal) {
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
  absl::StrAppend(&text, EndpointsText(status, terminal));
  for (const std::string& notice : status.notices()) {
    absl::StrAppend(&text, "\n", Styled("note:", Style::kYellow, colour), " ", notice);
  }
  return status.notices().empty() ? text : absl::StrCat(text, "\n");
}

}  // namespace mg::cli
