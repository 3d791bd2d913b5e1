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

bool SharedKind(v1::ComponentKind kind) {
  return kind == v1::COMPONENT_KIND_ETCD || kind == v1::COMPONENT_KIND_MULTIORCH ||
         kind == v1::COMPONENT_KIND_MULTIGATEWAY;
}

bool IsBase(const v1::ComponentSpec& spec) {
  return spec.kind() == v1::COMPONENT_KIND_ETCD || spec.kind() == v1::COMPONENT_KIND_MULTIADMIN;
}

bool Leaves(const Model& model, const std::string& database) {
  const LaterDatabase* found = model.FindDatabase(database);
  return found != nullptr && found->leaving;
}

/// Of the default database the orchs and gateways are a part; a later one needs them, and their new settings.
bool Wanted(const Model& model, const v1::ComponentSpec& spec, Part part, const std::string& database) {
  if (Leaves(model, spec.database())) {
    return false;
  }
  switch (part) {
    case Part::kBase:
      return IsBase(spec);
    case Part::kDatabase:
      return spec.kind() != v1::COMPONENT_KIND_MULTIADMIN &&
             (spec.database() == database || (spec.database().empty() && SharedKind(spec.kind())));
    case Part::kAll:
      return true;
  }
  return true;
}

struct DatabasePlan {
  std::string name;  ///< empty: the default one
  std::vector<std::string> cells;
  bool is_new = false;
};

/// The databases that a part serves.
std::vector<DatabasePlan> DatabasesOf(const Model& model, Part part, const std::string& database) {
  std::vector<DatabasePlan> plans;
  if (part == Part::kAll || database.empty()) {
    DatabasePlan& plan =
        plans.emplace_back(DatabasePlan{.name = "", .cells = {}, .is_new = !model.record.initialised()});
    for (const config::CellConfig& cell : model.input.config.cells) {
      plan.cells.push_back(cell.name);
    }
  }
  for (const LaterDatabase& later : model.input.databases) {
    if (!later.leaving && !later.cells.empty() && (part == Part::kAll || database == later.name)) {
      plans.push_back({.name = later.name, .cells = later.cells, .is_new = !later.initialised});
    }
  }
  return plans;
}

std::string Suffixed(const std::string& id, const std::string& database) {
  return database.empty() ? id : absl::StrCat(id, "/", database);
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
/// Orchs are started anew one after another, so that there is always one that sees to a failover: `orch_before` is the
/// one before, and changes.
std::vector<std::string> After(const v1::ComponentSpec& spec, bool restarts, std::string* orch_before) {
  std::vector<std::string> after = {kFiles};
  if (spec.kind() == v1::COMPONENT_KIND_MULTIORCH && restarts) {
    if (!orch_before->empty()) {
      after.push_back(*orch_before);
    }
    *orch_before = spec.name();
  }
  for (const std::string& name : spec.after()) {
    after.push_back(name == store::kEtcd ? kTopology : name);
  }
  return after;
}

}  // namespace

std::vector<PlannedStep> PlanSteps(const Model& model, Part part, const std::set<std::string>& running,
                                   const std::string& database) {
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
  std::vector<std::string> names = {model.input.config.database};
  for (const LaterDatabase& later : model.input.databases) {
    if (!later.leaving) {
      names.push_back(later.name);
    }
  }
  std::string orch_before;
  for (const v1::ComponentSpec& spec : model.specs) {
    if (!Wanted(model, spec, part, database)) {
      continue;
    }
    bool runs = running.count(spec.name()) != 0;
    bool restarts = runs && model.to_restart.count(spec.name()) != 0;
    steps.push_back({.kind = spec.observed_only() ? Kind::kPostgres : Kind::kComponent,
                     .id = spec.name(),
                     .group = spec.cell().empty() ? spec.name() : spec.cell(),
                     .action = spec.observed_only() ? "wait"
                               : restarts           ? "restart"
                               : runs               ? "keep"
                                                    : "start",
                     .summary = SummaryOf(spec, runs),
                     .after = After(spec, restarts, &orch_before),
                     .spec = &spec});
    if (spec.kind() == v1::COMPONENT_KIND_ETCD) {
      steps.push_back({.kind = Kind::kTopology,
                       .id = kTopology,
                       .group = kTopology,
                       .action = "write",
                       .summary = absl::StrCat("write the records of cells ", absl::StrJoin(cells, " "),
                                               " and database ", absl::StrJoin(names, " ")),
                       .after = {store::kEtcd}});
    }
  }
  if (part == Part::kBase) {
    return steps;
  }
  std::vector<std::string> last;
  bool is_new = false;
  for (const DatabasePlan& plan : DatabasesOf(model, part, database)) {
    std::vector<std::string> members, served;
    for (const std::string& cell : plan.cells) {
      members.push_back(store::ComponentName{store::kPostgres, cell, plan.name}.ToString());
      members.push_back(store::ComponentName{store::kMultipooler, cell, plan.name}.ToString());
    }
    for (const v1::ComponentSpec& spec : model.specs) {
      if (spec.kind() == v1::COMPONENT_KIND_MULTIGATEWAY) {
        // A gateway serves databases too that have no member in its cell.
        bool here = std::find(plan.cells.begin(), plan.cells.end(), spec.cell()) != plan.cells.end();
        const std::string& cell = here ? spec.cell() : plan.cells.front();
        steps.push_back({.kind = Kind::kServe,
                         .id = Suffixed(absl::StrCat(kServe, "/", spec.cell()), plan.name),
                         .group = kServeGroup,
                         .action = "wait",
                         .summary = absl::StrCat("wait until SELECT 1 works through ", spec.name(),
                                                 plan.name.empty() ? "" : absl::StrCat(" in ", plan.name)),
                         .after = {spec.name(), store::ComponentName{store::kPostgres, cell, plan.name}.ToString()},
                         .spec = &spec,
                         .database = plan.name});
        served.push_back(steps.back().id);
      }
    }
    if (plan.cells.size() > 1) {
      // After the gateways have found the leader: an appointment may be repeated until it is settled.
      std::vector<std::string> after = std::move(members);
      after.insert(after.end(), served.begin(), served.end());
      steps.push_back({.kind = Kind::kReplication,
                       .id = Suffixed(kReplication, plan.name),
                       .group = kReplication,
                       .action = "wait",
                       .summary = absl::StrCat("wait until one PostgreSQL leads and every other one streams from it",
                                               plan.name.empty() ? "" : absl::StrCat(" in ", plan.name)),
                       .after = std::move(after),
                       .database = plan.name});
      served = {steps.back().id};
    }
    last.insert(last.end(), served.begin(), served.end());
    is_new |= plan.is_new;
  }
  if (is_new) {
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
