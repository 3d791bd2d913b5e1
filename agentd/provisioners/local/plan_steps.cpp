#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/provisioners/local/bring_up.h"
#include "agentd/store/component_name.h"

namespace mg::local {

namespace {

using Kind = PlannedStep::Kind;

constexpr char kPreflight[] = "preflight";
constexpr char kFiles[] = "files";
constexpr char kTopology[] = "topology";
constexpr char kReplication[] = "replication";
constexpr char kServe[] = "serve";
constexpr char kServeGroup[] = "SELECT 1";

bool IsBase(const v1::ComponentSpec& spec) {
  return spec.kind() == v1::COMPONENT_KIND_ETCD || spec.kind() == v1::COMPONENT_KIND_MULTIADMIN;
}

bool Wanted(const v1::ComponentSpec& spec, Part part) {
  switch (part) {
    case Part::kBase:
      return IsBase(spec);
    case Part::kDatabase:
      return spec.kind() != v1::COMPONENT_KIND_MULTIADMIN;
    case Part::kAll:
      return true;
  }
  return true;
}

std::string SummaryOf(const v1::ComponentSpec& spec, bool runs) {
  std::string what = absl::StrCat(runs ? "keep " : "start ", spec.name());
  if (spec.observed_only()) {
    what = absl::StrCat("wait until ", spec.name(), " accepts connections; its pgctld starts it");
  } else if (!spec.implementation().empty()) {
    absl::StrAppend(&what, " (", spec.implementation(), ")");
  }
  if (spec.ports_size() > 0) {
    absl::StrAppend(&what,
                    " on 127.0.0.1:", absl::StrJoin(spec.ports(), ",", [](std::string* out, const v1::Port& port) {
                      absl::StrAppend(out, port.number());
                    }));
  }
  return what;
}

/// What a component waits for. The records come between etcd and all that reads them; pgctld and PostgreSQL read none.
std::vector<std::string> After(const v1::ComponentSpec& spec) {
  std::vector<std::string> after = {kFiles};
  for (const std::string& name : spec.after()) {
    after.push_back(name == store::kEtcd ? kTopology : name);
  }
  return after;
}

}  // namespace

std::vector<PlannedStep> PlanSteps(const Model& model, Part part, const std::set<std::string>& running) {
  std::vector<std::string> cells;
  for (const config::CellConfig& cell : model.input.config.cells) {
    cells.push_back(cell.name);
  }
  std::vector<PlannedStep> steps;
  steps.push_back({.kind = Kind::kPreflight,
                   .id = kPreflight,
                   .group = kPreflight,
                   .action = "check",
                   .summary = "check programs, ports, disk, user, socket paths and leftovers"});
  steps.push_back({.kind = Kind::kFiles,
                   .id = kFiles,
                   .group = kPreflight,
                   .action = "write",
                   .summary = absl::StrCat("make directories, settings and password files in ", model.place.root_dir),
                   .after = {kPreflight}});
  std::vector<std::string> servers, gateways, poolers;
  for (const v1::ComponentSpec& spec : model.specs) {
    if (!Wanted(spec, part)) {
      continue;
    }
    bool runs = running.count(spec.name()) != 0;
    steps.push_back({.kind = spec.observed_only() ? Kind::kPostgres : Kind::kComponent,
                     .id = spec.name(),
                     .group = spec.cell().empty() ? spec.name() : spec.cell(),
                     .action = spec.observed_only()                               ? "wait"
                               : runs && model.to_restart.count(spec.name()) != 0 ? "restart"
                               : runs                                             ? "keep"
                                                                                  : "start",
                     .summary = SummaryOf(spec, runs),
                     .after = After(spec),
                     .spec = &spec});
    if (spec.kind() == v1::COMPONENT_KIND_ETCD) {
      steps.push_back({.kind = Kind::kTopology,
                       .id = kTopology,
                       .group = kTopology,
                       .action = "write",
                       .summary = absl::StrCat("write the records of cells ", absl::StrJoin(cells, " "),
                                               " and database ", model.input.config.database),
                       .after = {store::kEtcd}});
    }
    if (spec.kind() == v1::COMPONENT_KIND_POSTGRES) {
      servers.push_back(spec.name());
    } else if (spec.kind() == v1::COMPONENT_KIND_MULTIPOOLER) {
      poolers.push_back(spec.name());
    }
  }
  if (part == Part::kBase) {
    return steps;
  }
  std::vector<std::string> last;
  for (const v1::ComponentSpec& spec : model.specs) {
    if (spec.kind() == v1::COMPONENT_KIND_MULTIGATEWAY) {
      steps.push_back({.kind = Kind::kServe,
                       .id = absl::StrCat(kServe, "/", spec.cell()),
                       .group = kServeGroup,
                       .action = "wait",
                       .summary = absl::StrCat("wait until SELECT 1 works through ", spec.name()),
                       .after = {spec.name(), absl::StrCat(store::kPostgres, "/", spec.cell())},
                       .spec = &spec});
      last.push_back(steps.back().id);
    }
  }
  if (cells.size() > 1) {
    // After the gateways have found the leader: an appointment may be repeated until it is settled.
    std::vector<std::string> after = servers;
    after.insert(after.end(), poolers.begin(), poolers.end());
    after.insert(after.end(), last.begin(), last.end());
    steps.push_back({.kind = Kind::kReplication,
                     .id = kReplication,
                     .group = kReplication,
                     .action = "wait",
                     .summary = "wait until one PostgreSQL leads and every other one streams from it",
                     .after = std::move(after)});
    last = {kReplication};
  }
  if (!model.record.initialised()) {
    steps.push_back({.kind = Kind::kSync,
                     .id = "sync",
                     .group = "sync",
                     .action = "write",
                     .summary = "put the new data safely on disk",
                     .after = last});
  }
  return steps;
}

v1::PlanClusterResponse PlanResponse(const Model& model, const std::vector<PlannedStep>& steps) {
  v1::PlanClusterResponse response;
  response.set_cluster(model.place.name);
  response.set_root_directory(model.place.root_dir);
  for (const PlannedStep& planned : steps) {
    v1::PlanStep* step = response.add_steps();
    step->set_id(planned.id);
    step->set_action(planned.action);
    step->set_summary(planned.summary);
    for (const std::string& id : planned.after) {
      step->add_after(id);
    }
    if (planned.spec != nullptr && planned.kind != PlannedStep::Kind::kServe) {
      *step->mutable_component() = *planned.spec;
    }
  }
  return response;
}

}  // namespace mg::local
