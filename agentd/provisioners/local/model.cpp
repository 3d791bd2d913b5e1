#include "agentd/provisioners/local/model.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/net/tcp_port.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::local {

namespace {

constexpr int kDefaultCells = 3;
/// Rounds of choosing when other agents reserve ports at the same moment.
constexpr int kMaxPortRounds = 20;

std::vector<std::string> NamesOf(const std::vector<config::CellConfig>& cells) {
  std::vector<std::string> names;
  for (const config::CellConfig& cell : cells) {
    names.push_back(cell.name);
  }
  return names;
}

/// The file's configuration, with the cells that this cluster has.
absl::StatusOr<config::ClusterConfig> LoadFor(const config::ClusterPlace& place, const store::ClusterRecord* record,
                                              int cells, ModelUse use, absl::Status* problem) {
  config::ClusterConfig config;
  if (!place.config_file.empty()) {
    absl::StatusOr<config::ClusterConfig> loaded = config::LoadConfig(place.config_file);
    if (loaded.ok()) {
      config = *std::move(loaded);
    } else if (use != ModelUse::kLook || record == nullptr) {
      return loaded.status();
    } else {
      *problem = loaded.status();
    }
  }
  config.name = place.name;
  std::vector<std::string> kept;
  if (record != nullptr) {
    kept.assign(record->cells().begin(), record->cells().end());
  }
  if (!config.cells_given) {
    bool asked = cells != 0 && (kept.empty() || use != ModelUse::kLook);
    int count = asked ? cells : !kept.empty() ? static_cast<int>(kept.size()) : kDefaultCells;
    config.cells = config::DefaultConfig(count).cells;
  }
  if (!kept.empty() && NamesOf(config.cells) != kept && use == ModelUse::kLook) {
    // What is there, whatever the file says by now; what it says of a cell still counts.
    std::vector<config::CellConfig> given = std::move(config.cells);
    config.cells.clear();
    for (const std::string& name : kept) {
      auto found = std::find_if(given.begin(), given.end(), [&](const auto& cell) { return cell.name == name; });
      config.cells.push_back(found != given.end()
                                 ? *found
                                 : config::CellConfig{.name = name, .topo_root = absl::StrCat("/multigres/", name)});
    }
  }
  return config;
}

/// What differs between the cells of the record and those of the configuration.
void CompareCells(Model* model) {
  std::vector<std::string> wanted = NamesOf(model->input.config.cells);
  std::set<std::string> kept(model->record.cells().begin(), model->record.cells().end());
  for (const std::string& name : wanted) {
    if (model->store != nullptr && kept.count(name) == 0) {
      model->added_cells.insert(name);
    }
  }
  for (const std::string& name : model->record.cells()) {
    if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) {
      model->removed_cells.push_back(name);
    }
  }
}

PortMap RecordedPorts(const store::ClusterRecord& record) {
  PortMap ports;
  for (const auto& [component, entry] : record.components()) {
    for (const auto& [name, number] : entry.ports()) {
      ports[component][name] = number;
    }
  }
  return ports;
}

/// Ports for a start; with `reserve` also the promise to other agents.
absl::Status ChooseModelPorts(const std::vector<PortNeed>& needs, const ModelContext& context, bool reserve,
                              Model* model) {
  PortMap recorded = RecordedPorts(model->record);
  std::set<int> reserved_by_others;
  for (int round = 0; round < kMaxPortRounds; ++round) {
    PortFacts facts;
    facts.running = RunningComponents(model->input.paths, NamesOf(model->input.config.cells), model->record);
    facts.of_others = context.ports_of_others;
    facts.is_free = [&](int port) { return reserved_by_others.count(port) == 0 && net::IsPortFree(port); };
    facts.describe = [&](int port) {
      return reserved_by_others.count(port) != 0 ? std::string("another cluster that starts now")
                                                 : net::DescribeHolder(net::HolderOf(port));
    };
    MG_ASSIGN_OR_RETURN(PortChoice choice, ChoosePorts(needs, recorded, facts));
    model->input.ports = std::move(choice.ports);
    model->remarks = std::move(choice.remarks);
    if (!reserve) {
      return absl::OkStatus();
    }
    bool all = true;
    for (const auto& [component, ports] : model->input.ports) {
      for (const auto& [name, port] : ports) {
        if (facts.running.count(component) != 0) {
          continue;
        }
        std::optional<net::PortReservation> reservation = net::PortReservation::TryAcquire(port);
        if (reservation) {
          model->reservations.push_back(*std::move(reservation));
        } else {
          reserved_by_others.insert(port);
          all = false;
        }
      }
    }
    if (all) {
      return absl::OkStatus();
    }
    model->reservations.clear();
  }
  return absl::UnavailableError("other clusters keep taking the ports that were chosen");
}

void UseRecordedPorts(const std::vector<PortNeed>& needs, Model* model) {
  PortMap recorded = RecordedPorts(model->record);
  for (const PortNeed& need : needs) {
    int& port = model->input.ports[need.component][need.name];
    port = recorded[need.component][need.name];
    if (port == 0) {
      port = need.wish.number != 0 ? need.wish.number : need.documented;
    }
  }
}

void UseRecordedImplementations(Model* model) {
  for (const auto& [component, entry] : model->record.components()) {
    std::string kind = component.substr(0, component.find('/'));
    // The version is kept of our own programs only, where the file gives a path.
    bool is_builtin = kind != store::kEtcd && (entry.implementation() == "builtin" ||
                                               (entry.implementation().starts_with('/') && !entry.version().empty()));
    model->input.implementations[kind] = {
        .word = entry.implementation(), .program = "", .version = entry.version(), .is_builtin = is_builtin};
  }
}

/// Service ids: the file's, the record's, or new ones (kept in the cluster until they are on disk, so that a plan and
/// the start after it agree).
void ChooseServiceIds(Cluster* cluster, Model* model) {
  std::map<std::string, std::string> given;
  for (const config::CellConfig& cell : model->input.config.cells) {
    given[cell.name] = cell.service_id;
  }
  for (const Member& member : MembersOf(model->input)) {
    const std::string place = member.Place();
    std::string& id = model->input.service_ids[place];
    auto recorded = model->record.service_ids().find(place);
    if (recorded != model->record.service_ids().end()) {
      id = recorded->second;
    } else if (auto wish = given.find(place); wish != given.end() && !wish->second.empty()) {
      id = wish->second;
    } else {
      std::lock_guard lock(cluster->mutex);
      std::string& kept = cluster->service_ids[place];
      if (kept.empty()) {
        kept = topology::RandomName();
      }
      id = kept;
    }
    (*model->record.mutable_service_ids())[place] = id;
  }
}

/// The record's later databases, in those of their cells that the cluster has.
std::vector<LaterDatabase> LaterDatabases(const Model& model) {
  std::vector<std::string> cells = NamesOf(model.input.config.cells);
  std::vector<LaterDatabase> databases;
  for (const auto& [name, entry] : model.record.databases()) {
    LaterDatabase& database = databases.emplace_back();
    database = {.name = name,
                .cells = {},
                .durability_policy = entry.durability_policy(),
                .initialised = entry.initialised(),
                .leaving = entry.leaving(),
                .backup_directory = entry.backup_directory(),
                .restore_backup_id = entry.restore_backup_id()};
    for (const std::string& cell : entry.cells()) {
      if (std::find(cells.begin(), cells.end(), cell) != cells.end()) {
        database.cells.push_back(cell);
      }
    }
  }
  std::sort(databases.begin(), databases.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return databases;
}

std::vector<PortNeed> AllPortNeeds(const SpecInput& input) {
  std::vector<PortNeed> needs = PortNeeds(input.config);
  int number = 0;
  for (const Member& member : MembersOf(input)) {
    if (!member.database.empty()) {
      std::vector<PortNeed> more = MemberPortNeeds(member.cell, member.database, number++);
      needs.insert(needs.end(), more.begin(), more.end());
    }
  }
  return needs;
}

void FillRecord(Model* model) {
  store::ClusterRecord& record = model->record;
  record.set_name(model->place.name);
  record.set_config_file(model->place.config_file);
  // Service ids stay: a cell that comes back finds its data.
  for (const store::ComponentName& name : store::ComponentsOf(model->removed_cells)) {
    if (store::IsPerCell(name.kind)) {
      record.mutable_components()->erase(name.ToString());
    }
  }
  for (const LaterDatabase& database : model->input.databases) {
    auto& entry = (*record.mutable_databases())[database.name];
    for (const std::string& cell : entry.cells()) {
      if (std::find(database.cells.begin(), database.cells.end(), cell) == database.cells.end()) {
        for (const char* kind : {store::kPgctld, store::kPostgres, store::kMultipooler}) {
          record.mutable_components()->erase(store::ComponentName{kind, cell, database.name}.ToString());
        }
      }
    }
    entry.mutable_cells()->Assign(database.cells.begin(), database.cells.end());
  }
  record.clear_cells();
  for (const config::CellConfig& cell : model->input.config.cells) {
    record.add_cells(cell.name);
  }
  for (const v1::ComponentSpec& spec : model->specs) {
    auto& entry = (*record.mutable_components())[spec.name()];
    entry.clear_ports();
    for (const v1::Port& port : spec.ports()) {
      (*entry.mutable_ports())[port.name()] = port.number();
    }
    entry.set_implementation(spec.implementation());
    entry.set_restart(spec.restart());
    auto found = model->input.implementations.find(spec.name().substr(0, spec.name().find('/')));
    if (found != model->input.implementations.end()) {
      entry.set_version(found->second.version);
    }
    if (spec.observed_only()) {
      entry.set_version(model->input.postgres_version);
    }
  }
}

}  // namespace

std::set<std::string> RunningComponents(const store::Paths& paths, const store::ClusterRecord& record) {
  return RunningComponents(paths, {record.cells().begin(), record.cells().end()}, record);
}

std::set<std::string> RunningComponents(const store::Paths& paths, const std::vector<std::string>& cells,
                                        const store::ClusterRecord& record) {
  std::vector<store::ComponentName> names = store::ComponentsOf(cells);
  for (const auto& [database, entry] : record.databases()) {
    for (const std::string& cell : entry.cells()) {
      for (const char* kind : {store::kPgctld, store::kPostgres, store::kMultipooler}) {
        names.push_back({.kind = kind, .cell = cell, .database = database});
      }
    }
  }
  std::set<std::string> running;
  for (const store::ComponentName& name : names) {
    std::string run_dir = paths.RunDir(name);
    if (Exists(run_dir) && shim::ReadShimState(run_dir).child_alive) {
      running.insert(name.ToString());
    }
  }
  return running;
}

const v1::ComponentSpec* Model::Find(const std::string& component) const {
  auto found = std::find_if(specs.begin(), specs.end(), [&](const auto& spec) { return spec.name() == component; });
  return found == specs.end() ? nullptr : &*found;
}

const LaterDatabase* Model::FindDatabase(const std::string& name) const {
  auto found = std::find_if(input.databases.begin(), input.databases.end(),
                            [&](const LaterDatabase& database) { return database.name == name; });
  return found == input.databases.end() ? nullptr : &*found;
}

absl::Status Model::Complete() const { return implementations.ok() ? ports : implementations; }

absl::StatusOr<Model> BuildModel(Cluster* cluster, int cells, ModelUse use, const ModelContext& context) {
  Model model;
  {
    std::lock_guard lock(cluster->mutex);
    model.place = cluster->place;
    model.store = cluster->store;
  }
  if (model.store != nullptr) {
    model.record = model.store->Get();
  } else {
    model.record.set_cluster_id(store::NewUuid());
    *model.record.mutable_created_at() = [] {
      google::protobuf::Timestamp now;
      now.set_seconds(absl::ToUnixSeconds(absl::Now()));
      return now;
    }();
  }
  MG_ASSIGN_OR_RETURN(model.input.config,
                      LoadFor(model.place, model.store == nullptr ? nullptr : &model.record, cells, use, &model.file));
  CompareCells(&model);
  for (const auto& [component, ports] : RecordedPorts(model.record)) {
    if (auto port = ports.find("postgres"); port != ports.end() && absl::StartsWith(component, store::kPostgres)) {
      model.recorded_ports[component] = port->second;
    }
  }
  SpecInput& input = model.input;
  input.paths = store::Paths(model.place.root_dir);
  input.environment = BaseEnvironment(context.environment);
  input.shim = JoinPath(context.machine->libexec_dir(), "multigres-shim");
  input.root = context.uid == 0;
  input.init_sql_files = static_cast<int>(input.config.init_sql.size());
  input.provisioner = context.provisioner;
  input.databases = LaterDatabases(model);
  ChooseServiceIds(cluster, &model);
  for (const Member& member : MembersOf(input)) {
    input.socket_dirs[member.Place()] =
        SocketPlaceOf(input.paths.root(), PoolerDirOf(input, member), member.Place(), context.uid).postgres;
  }
  std::vector<PortNeed> needs = AllPortNeeds(input);
  if (use == ModelUse::kLook) {
    UseRecordedPorts(needs, &model);
    UseRecordedImplementations(&model);
    model.specs = MakeSpecs(input);
    return model;
  }
  MachineFacts facts = context.machine->Facts();
  input.postgres_version = facts.postgres_version;
  absl::StatusOr<Implementations> implementations = ChooseImplementations(input.config.implementations, facts);
  model.implementations = implementations.status();
  if (implementations.ok()) {
    input.implementations = *std::move(implementations);
  }
  model.ports = ChooseModelPorts(needs, context, use == ModelUse::kStart, &model);
  if (!model.ports.ok()) {
    UseRecordedPorts(needs, &model);
  }
  model.specs = MakeSpecs(input);
  if (use == ModelUse::kStart && model.Complete().ok()) {
    FillRecord(&model);
  }
  return model;
}

}  // namespace mg::local
