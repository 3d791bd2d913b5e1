#include "agentd/provisioners/local/changes.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

using Settings = std::map<std::string, std::string>;

constexpr char kHidden[] = "(hidden)";
constexpr char kWatchTargets[] = "watch-targets";

/// Flags by their names, the program, and what the component's environment says beyond the agent's own.
Settings SettingsOf(const shim::LaunchSpec& launch) {
  Settings settings;
  for (size_t i = 0; i < launch.argv.size(); ++i) {
    const std::string& word = launch.argv[i];
    if (i == 0) {
      settings["program"] = word;
    } else if (!absl::StartsWith(word, "--")) {
      absl::StrAppend(&settings["arguments"], " ", word);
    } else if (i + 1 < launch.argv.size() && !absl::StartsWith(launch.argv[i + 1], "--")) {
      settings[word.substr(2)] = launch.argv[++i];
    } else {
      settings[word.substr(2)] = "true";
    }
  }
  std::map<std::string, std::string> environment;
  for (const std::string& variable : launch.environment) {
    size_t equals = variable.find('=');
    environment[variable.substr(0, equals)] = equals == std::string::npos ? "" : variable.substr(equals + 1);
  }
  for (const auto& [name, value] : BaseEnvironment(environment)) {
    environment.erase(name);
  }
  for (const auto& [name, value] : environment) {
    settings[name] = value;
  }
  if (!launch.run_as.empty()) {
    settings["run-as"] = launch.run_as;
  }
  return settings;
}

v1::SettingChange Change(const std::string& name, const std::string& before, const std::string& after) {
  v1::SettingChange change;
  change.set_name(name);
  change.set_before(before);
  change.set_after(after);
  return change;
}

std::vector<v1::SettingChange> Compare(const Settings& now, const Settings& planned) {
  std::vector<v1::SettingChange> changes;
  std::set<std::string> names;
  for (const Settings* settings : {&now, &planned}) {
    for (const auto& [name, value] : *settings) {
      names.insert(name);
    }
  }
  for (const std::string& name : names) {
    auto before = now.find(name), after = planned.find(name);
    std::string old_value = before == now.end() ? "" : before->second;
    std::string new_value = after == planned.end() ? "" : after->second;
    if (old_value != new_value) {
      changes.push_back(Change(name, old_value, new_value));
    }
  }
  return changes;
}

Settings ParseSettings(const std::string& text) {
  Settings settings;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(" = ", 1));
    if (!absl::StartsWith(line, "#")) {
      absl::string_view value = parts.second;
      (void)(absl::ConsumePrefix(&value, "'") && absl::ConsumeSuffix(&value, "'"));
      settings[std::string(parts.first)] = std::string(value);
    }
  }
  return settings;
}

/// What no configuration says, and an earlier version did not give: that it was started without is no reason to restart
/// what runs well.
bool IsOurs(const std::string& setting) {
  return setting == "provisioner" || setting == "provisioner-cluster" || setting == "MT_DEFAULT_DATABASE";
}

/// What the data on disk was made with.
bool IsOfData(const std::string& setting) {
  return setting == "pooler-dir" || setting == "pg-database" || setting == "pg-user" || setting == "topo-global-root";
}

constexpr char kLater[] = "later";

void Refuse(const std::string& reason, v1::ComponentChange* change) {
  change->set_action("refuse");
  change->set_reason(reason);
}

class Finder {
 public:
  explicit Finder(Model* model) : model_(*model) {
    std::vector<std::string> cells(model_.record.cells().begin(), model_.record.cells().end());
    cells.insert(cells.end(), model_.removed_cells.begin(), model_.removed_cells.end());
    running_ = RunningComponents(model_.input.paths, cells, model_.record);
    if (model_.store != nullptr) {
      before_ = model_.store->Get();
    }
  }

  std::vector<v1::ComponentChange> Find() {
    if (model_.store == nullptr) {
      return {};
    }
    for (const v1::ComponentSpec& spec : model_.specs) {
      if (spec.database().empty() && model_.added_cells.count(spec.cell()) != 0) {
        Add(spec.name(), "add", {});
      } else if (spec.observed_only()) {
        Postgres(spec);
      } else {
        Component(spec);
      }
    }
    Cells();
    if (running_.empty()) {
      std::erase_if(changes_, [](const auto& change) { return change.action() != "refuse"; });
    }
    for (const v1::ComponentChange& change : changes_) {
      if (change.action() == "restart") {
        model_.to_restart.insert(change.component());
      }
    }
    return std::move(changes_);
  }

 private:
  v1::ComponentChange* Add(const std::string& component, const std::string& action,
                           const std::vector<v1::SettingChange>& settings) {
    v1::ComponentChange& change = changes_.emplace_back();
    change.set_component(component);
    change.set_action(action);
    for (const v1::SettingChange& setting : settings) {
      *change.add_settings() = setting;
    }
    return &change;
  }

  void Component(const v1::ComponentSpec& spec) {
    absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(spec.name());
    absl::StatusOr<shim::LaunchSpec> planned = LaunchSpecOf(model_, spec);
    shim::ShimState state = shim::ReadShimState(model_.input.paths.RunDir(*name));
    if (!planned.ok() || !state.launch) {
      return;
    }
    std::vector<v1::SettingChange> settings = CompareLaunches(*state.launch, *planned);
    if (PasswordChanges(spec)) {
      settings.push_back(Change("password", kHidden, kHidden));
    }
    auto of_data = std::find_if(settings.begin(), settings.end(), [](const auto& s) { return IsOfData(s.name()); });
    if (of_data != settings.end() && model_.record.initialised()) {
      Refuse(absl::StrCat("the data of ", spec.name(), " was made with ", of_data->name(), " ", of_data->before(),
                          ", and another one would leave it behind: set it back, or begin anew with 'multigres down "
                          "--clean' and 'multigres up'"),
             Add(spec.name(), "refuse", settings));
      return;
    }
    if (!state.child_alive) {
      return;
    }
    if (settings.empty()) {
      WithoutRestart(spec, *state.launch, *planned);
      return;
    }
    v1::ComponentChange* change = Add(spec.name(), "restart", settings);
    if (spec.name() == store::kEtcd) {
      Refuse(
          "etcd holds the records that every component stands on, so it is not restarted beneath them: run 'multigres "
          "down', then 'multigres up'; data is kept",
          change);
    }
  }

  /// What its process does not know of, and what only its next one will.
  void WithoutRestart(const v1::ComponentSpec& spec, const shim::LaunchSpec& now, const shim::LaunchSpec& planned) {
    auto entry = before_.components().find(spec.name());
    if (entry != before_.components().end() && !entry->second.restart().empty() &&
        entry->second.restart() != spec.restart()) {
      Add(spec.name(), "set", {Change("restart", entry->second.restart(), spec.restart())});
    }
    std::vector<v1::SettingChange> limits;
    if (now.log_max_bytes != planned.log_max_bytes) {
      limits.push_back(Change("logs.file-size-mb", absl::StrCat(now.log_max_bytes >> 20),
                              absl::StrCat(planned.log_max_bytes >> 20)));
    }
    if (now.log_max_files != planned.log_max_files) {
      limits.push_back(Change("logs.files", absl::StrCat(now.log_max_files), absl::StrCat(planned.log_max_files)));
    }
    if (!limits.empty()) {
      Add(spec.name(), kLater, limits);
    }
  }

  void Postgres(const v1::ComponentSpec& spec) {
    absl::StatusOr<std::string> now = ReadFile(model_.input.paths.PostgresConf());
    if (!now.ok()) {
      return;
    }
    std::vector<v1::SettingChange> settings = CompareSettings(
        *now, PostgresSettings(model_.input.config, model_.cell_count(), 0), model_.input.config.postgres_settings);
    auto less = std::find_if(settings.begin(), settings.end(), StopsReplay);
    if (less != settings.end() && model_.record.initialised()) {
      Refuse(absl::StrCat("PostgreSQL does not start with less ", less->name(),
                          " than its data was last written with: give as much as before, or more"),
             Add(spec.name(), "refuse", settings));
      return;
    }
    if (running_.count(spec.name()) == 0) {
      return;
    }
    std::vector<v1::SettingChange> all = settings;
    int port = PortOf(spec, "postgres");
    auto recorded = model_.recorded_ports.find(spec.name());
    if (recorded != model_.recorded_ports.end() && recorded->second != port) {
      all.push_back(Change("port", absl::StrCat(recorded->second), absl::StrCat(port)));
      Refuse(
          "PostgreSQL's own port is moved only while it is stopped: run 'multigres down', then 'multigres up'; data "
          "is kept",
          Add(spec.name(), "refuse", all));
      return;
    }
    if (settings.empty()) {
      return;
    }
    bool restart = std::any_of(settings.begin(), settings.end(), [](const auto& s) { return NeedsRestart(s.name()); });
    Add(spec.name(), restart ? "restart" : "reload", settings);
  }

  void Cells() {
    std::set<std::string> removed(model_.removed_cells.begin(), model_.removed_cells.end());
    size_t before = model_.input.config.cells.size() + removed.size() - model_.added_cells.size();
    for (const store::ComponentName& name : store::ComponentsOf(model_.removed_cells)) {
      if (removed.count(name.cell) == 0) {
        continue;
      }
      v1::ComponentChange* change = Add(name.ToString(), "remove", {});
      if (model_.cell_count() < 2 && before > 1) {
        Refuse(
            "a cluster of several cells commits on two nodes, and one cell alone could not: keep two, or begin anew "
            "with 'multigres down --clean'",
            change);
      } else if (removed.size() * 2 >= before) {
        Refuse(
            "half of the cells or more at once could take the only copies of what was committed: remove them one by "
            "one",
            change);
      } else if (std::string database = DatabaseThatNeeds(removed); !database.empty()) {
        Refuse(absl::StrCat("half of the cells of database ", database,
                            " or more could take the only copies of what "
                            "was committed: delete that database first, or remove the cells one by one"),
               change);
      } else if (running_.empty()) {
        Refuse(
            "a cell is removed from a cluster that runs, so that the others can take over: run 'multigres up' with "
            "the old cells first",
            change);
      }
    }
  }

  /// A later database that loses half of its cells or more; `model_` has what it keeps.
  std::string DatabaseThatNeeds(const std::set<std::string>& removed) const {
    for (const auto& [name, entry] : before_.databases()) {
      auto lost = std::count_if(entry.cells().begin(), entry.cells().end(),
                                [&](const std::string& cell) { return removed.count(cell) != 0; });
      if (lost > 0 && lost * 2 >= entry.cells_size()) {
        return name;
      }
    }
    return "";
  }

  bool PasswordChanges(const v1::ComponentSpec& spec) const {
    if (spec.kind() != v1::COMPONENT_KIND_PGCTLD && spec.kind() != v1::COMPONENT_KIND_MULTIPOOLER) {
      return false;
    }
    Member member{.cell = spec.cell(), .database = spec.database()};
    absl::StatusOr<std::string> now = ReadFile(store::PasswordFile(PoolerDirOf(model_.input, member)));
    return now.ok() && *now != model_.input.config.postgres_password;
  }

  Model& model_;
  store::ClusterRecord before_;  ///< as the last bring-up left it; empty: there was none
  std::set<std::string> running_;
  std::vector<v1::ComponentChange> changes_;
};

}  // namespace

std::vector<v1::SettingChange> CompareLaunches(const shim::LaunchSpec& now, const shim::LaunchSpec& planned) {
  std::vector<v1::SettingChange> settings = Compare(SettingsOf(now), SettingsOf(planned));
  std::erase_if(settings,
                [](const v1::SettingChange& setting) { return setting.before().empty() && IsOurs(setting.name()); });
  return settings;
}

bool OnlyWatchesOthers(const v1::ComponentChange& change) {
  return absl::StartsWith(change.component(), absl::StrCat(store::kMultiorch, "/")) && change.settings_size() == 1 &&
         change.settings(0).name() == kWatchTargets;
}

std::vector<v1::SettingChange> CompareSettings(const std::string& now, const std::string& planned,
                                               const std::map<std::string, std::string>& given) {
  Settings before = ParseSettings(now), after = ParseSettings(planned);
  if (given.count("shared_buffers") == 0) {
    before.erase("shared_buffers");
    after.erase("shared_buffers");
  }
  return Compare(before, after);
}

bool NeedsRestart(const std::string& setting) {
  // Context "postmaster" in pg_settings, as far as the configuration may give them.
  static const auto* const kSettings = new std::set<std::string>{"archive_mode",
                                                                 "autovacuum_freeze_max_age",
                                                                 "autovacuum_max_workers",
                                                                 "autovacuum_multixact_freeze_max_age",
                                                                 "bonjour",
                                                                 "bonjour_name",
                                                                 "cluster_name",
                                                                 "dynamic_shared_memory_type",
                                                                 "event_source",
                                                                 "huge_page_size",
                                                                 "huge_pages",
                                                                 "jit_provider",
                                                                 "logging_collector",
                                                                 "max_connections",
                                                                 "max_files_per_process",
                                                                 "max_locks_per_transaction",
                                                                 "max_logical_replication_workers",
                                                                 "max_pred_locks_per_transaction",
                                                                 "max_prepared_transactions",
                                                                 "max_replication_slots",
                                                                 "max_wal_senders",
                                                                 "max_worker_processes",
                                                                 "min_dynamic_shared_memory",
                                                                 "old_snapshot_threshold",
                                                                 "recovery_prefetch",
                                                                 "recovery_target",
                                                                 "shared_buffers",
                                                                 "shared_memory_type",
                                                                 "shared_preload_libraries",
                                                                 "superuser_reserved_connections",
                                                                 "reserved_connections",
                                                                 "track_activity_query_size",
                                                                 "track_commit_timestamp",
                                                                 "wal_buffers",
                                                                 "wal_level"};
  return kSettings->count(setting) != 0;
}

bool StopsReplay(const v1::SettingChange& change) {
  // With what a server has when nothing is given.
  static const auto* const kSettings = new std::map<std::string, int>{{"max_connections", 110},
                                                                      {"max_locks_per_transaction", 64},
                                                                      {"max_prepared_transactions", 0},
                                                                      {"max_wal_senders", 10},
                                                                      {"max_worker_processes", 8}};
  auto found = kSettings->find(change.name());
  if (found == kSettings->end()) {
    return false;
  }
  int before = found->second, after = found->second;
  (void)absl::SimpleAtoi(change.before(), &before);
  (void)absl::SimpleAtoi(change.after(), &after);
  return after < before;
}

std::vector<v1::ComponentChange> FindChanges(Model* model) { return Finder(model).Find(); }

std::vector<v1::ComponentChange> FindChangesOfNow(Model* model) {
  std::vector<v1::ComponentChange> changes = FindChanges(model);
  std::erase_if(changes, [](const v1::ComponentChange& change) { return change.action() == kLater; });
  return changes;
}

absl::Status Refusal(const std::vector<v1::ComponentChange>& changes) {
  for (const v1::ComponentChange& change : changes) {
    if (change.action() == "refuse") {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, DescribeChange(change),
          {.reason = "CHANGE_REFUSED",
           .hint = "'multigres cluster diff' shows all that the configuration would change; nothing was done",
           .subject = change.component()});
    }
  }
  return absl::OkStatus();
}

std::string DescribeChange(const v1::ComponentChange& change) {
  std::string settings = absl::StrJoin(change.settings(), ", ", [](std::string* out, const v1::SettingChange& setting) {
    absl::StrAppend(out, setting.name(), " ", setting.before().empty() ? "(unset)" : setting.before(), " -> ",
                    setting.after().empty() ? "(unset)" : setting.after());
  });
  return absl::StrCat(change.component(), ": ", change.action(),
                      settings.empty() ? "" : absl::StrCat(" (", settings, ")"),
                      change.reason().empty() ? "" : absl::StrCat(": ", change.reason()));
}

}  // namespace mg::local
