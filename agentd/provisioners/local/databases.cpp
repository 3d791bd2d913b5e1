#include "agentd/provisioners/local/databases.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/changes.h"
#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/executor.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/provisioners/local/records.h"
#include "agentd/provisioners/local/replication.h"
#include "agentd/provisioners/local/teardown.h"
#include "agentd/provisioners/local/under_way.h"
#include "common/fs/fs.h"
#include "common/pgwire/client.h"
#include "common/pgwire/message.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr size_t kLongestName = 40;
constexpr char kLastBackup[] = "last-backup";
constexpr absl::Duration kAskBound = absl::Seconds(5);
constexpr absl::Duration kOrchLimit = absl::Seconds(30);

std::string Known(const Model& model) {
  std::vector<std::string> names = {model.input.config.database};
  for (const LaterDatabase& database : model.input.databases) {
    names.push_back(database.name);
  }
  return absl::StrJoin(names, ", ");
}

/// The cells of a new database: each once, in the cluster's order.
absl::StatusOr<std::vector<std::string>> ChooseCells(const Model& look, const v1::ProvisionDatabaseRequest& request) {
  std::vector<std::string> cells;
  for (const config::CellConfig& cell : look.input.config.cells) {
    if (request.cells().empty() ||
        std::find(request.cells().begin(), request.cells().end(), cell.name) != request.cells().end()) {
      cells.push_back(cell.name);
    }
  }
  for (const std::string& wished : request.cells()) {
    if (std::find(cells.begin(), cells.end(), wished) == cells.end()) {
      // The topology may have one of that name, which somebody else looks after.
      return MakeError(
          absl::StatusCode::kNotFound,
          absl::StrCat("no database can be made in cell '", wished, "': the cluster's configuration has no such cell"),
          {.reason = "UNKNOWN_CELL",
           .hint = absl::StrCat("it has ",
                                absl::StrJoin(look.input.config.cells, ", ",
                                              [](std::string* out, const auto& cell) { *out += cell.name; }),
                                "; 'multigres up' brings up what is added there")});
    }
  }
  return cells;
}

/// The default database's PostgreSQL may have a database of that name (CREATE DATABASE): it would not be reached any
/// more.
absl::Status CheckNotShadowing(const Model& look, const std::string& name, absl::Time deadline) {
  const v1::ComponentSpec* gateway =
      look.Find(store::ComponentName{store::kMultigateway, look.record.cells(0), ""}.ToString());
  const config::ClusterConfig& config = look.input.config;
  const absl::Time bound = std::min(deadline, absl::Now() + kAskBound);
  absl::StatusOr<std::unique_ptr<pgwire::Client>> client =
      pgwire::Client::Connect({.port = PortOf(*gateway, "postgres"),
                               .user = config.postgres_user,
                               .database = config.database,
                               .password = config.postgres_password,
                               .application_name = "multigres-db"},
                              bound);
  MG_RETURN_IF_ERROR(
      WithContext(client.status(), absl::StrCat("ask database ", config.database, " which names are taken")));
  MG_ASSIGN_OR_RETURN(
      std::vector<pgwire::Client::Row> rows,
      (*client)->Query(absl::StrCat("SELECT 1 FROM pg_database WHERE datname = ", pgwire::QuoteLiteral(name)), bound));
  return rows.empty() ? absl::OkStatus()
                      : MakeError(absl::StatusCode::kAlreadyExists,
                                  absl::StrCat("the PostgreSQL of database ", config.database, " has a database named ",
                                               name, " of its own"),
                                  {.reason = "DATABASE_EXISTS", .hint = "choose another name, or drop that one"});
}

/// Of the database that is in the record, or is to be.
std::string BackupPlace(const SpecInput& input, const std::string& directory) {
  return JoinPath(BackupsOf(input), directory);
}

/// A directory for the backups of a new database; no name of a database has a dot.
std::string FreeBackupDirectory(const SpecInput& input, const std::string& name) {
  for (absl::Time time = absl::Now();; time += absl::Seconds(1)) {
    std::string directory = absl::StrCat(name, ".", absl::FormatTime("%Y%m%dT%H%M%SZ", time, absl::UTCTimeZone()));
    if (!Exists(BackupPlace(input, directory))) {
      return directory;
    }
  }
}

/// The backup that a deleted database of this name left in a directory.
absl::StatusOr<std::string> LastBackupIn(const SpecInput& input, const std::string& name,
                                         const std::string& directory) {
  absl::StatusOr<std::string> text = absl::NotFoundError("it belongs to another database");
  if (absl::StartsWith(directory, name + ".") && directory.find('/') == std::string::npos) {
    text = ReadFile(JoinPath(BackupPlace(input, directory), kLastBackup));
  }
  if (!text.ok()) {
    return MakeError(absl::StatusCode::kNotFound,
                     absl::StrCat("no deleted database ", name, " left a backup in '", directory, "'"),
                     {.reason = "LAST_BACKUP_NOT_FOUND",
                      .hint = absl::StrCat("'multigres db delete' said its name; they are in ", BackupsOf(input))});
  }
  std::string id(absl::StripAsciiWhitespace(*text));
  if (!std::all_of(id.begin(), id.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; })) {
    return absl::DataLossError(absl::StrCat(kLastBackup, " in ", BackupPlace(input, directory), " names no backup"));
  }
  return id;
}

/// A creation that was interrupted goes on as it was begun, not as somebody else would have it.
absl::Status CheckSameAsBegun(const Model& look, const LaterDatabase& begun,
                              const v1::ProvisionDatabaseRequest& request) {
  MG_ASSIGN_OR_RETURN(std::vector<std::string> cells, ChooseCells(look, request));
  bool same = (request.cells().empty() || cells == begun.cells) &&
              (request.durability_policy().empty() || request.durability_policy() == begun.durability_policy) &&
              (request.restore_from().empty() ||
               (request.restore_from() == begun.backup_directory && !begun.restore_backup_id.empty()));
  return same || begun.initialised
             ? absl::OkStatus()
             : MakeError(
                   absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("database ", begun.name, " was begun otherwise, in cells ",
                                absl::StrJoin(begun.cells, " "), ", and is not finished"),
                   {.reason = "DATABASE_UNFINISHED",
                    .hint = absl::StrCat("'multigres db create ", begun.name,
                                         "' goes on with it, 'multigres db delete ", begun.name, "' removes it")});
}

std::vector<Member> MembersIn(const Model& model, const std::string& name) {
  std::vector<Member> members = MembersOf(model.input);
  std::erase_if(members, [&](const Member& member) { return member.database != name; });
  return members;
}

std::vector<store::ComponentName> NamesIn(const Model& model, const std::string& name) {
  std::vector<store::ComponentName> names;
  for (const Member& member : MembersIn(model, name)) {
    for (const char* kind : {store::kPgctld, store::kPostgres, store::kMultipooler}) {
      names.push_back({.kind = kind, .cell = member.cell, .database = name});
    }
  }
  return names;
}

/// Orchs that run are started anew without the database among what they watch, or they would take its end for a
/// failure; one after another, so that there is always one that sees to a failover.
absl::Status UnwatchDatabase(const Model& model, Components* components, supervisor::Supervisor* supervisor,
                             provisioners::OperationContext& context) {
  std::set<std::string> running = RunningComponents(model.input.paths, model.record);
  absl::Time limit = std::min(context.deadline, absl::Now() + kOrchLimit);
  std::vector<Step> steps;
  for (const v1::ComponentSpec& spec : model.specs) {
    if (spec.kind() == v1::COMPONENT_KIND_MULTIORCH && running.count(spec.name()) != 0) {
      steps.push_back({.id = spec.name(),
                       .group = spec.cell(),
                       .after = steps.empty() ? std::vector<std::string>() : std::vector<std::string>{steps.back().id},
                       .run = [&, limit](const Halt& halt) { return components->Ensure(spec, limit, halt); }});
    }
  }
  return Execute(std::move(steps), context, [supervisor] { supervisor->Wake(); }).status();
}

absl::Status RemoveData(const Model& model, const std::string& name, unsigned uid) {
  const store::Paths& paths = model.input.paths;
  for (const Member& member : MembersIn(model, name)) {
    std::string dir = PoolerDirOf(model.input, member);
    SocketPlace place = SocketPlaceOf(paths.root(), dir, member.Place(), uid);
    if (place.short_form) {
      MG_RETURN_IF_ERROR(RemoveTree(DirName(place.postgres)));
    }
    MG_RETURN_IF_ERROR(RemoveTree(dir));
  }
  for (const store::ComponentName& component : NamesIn(model, name)) {
    MG_RETURN_IF_ERROR(RemoveTree(paths.RunDir(component)));
    MG_RETURN_IF_ERROR(RemoveTree(paths.LogDir(component)));
  }
  return absl::OkStatus();
}

/// Says where the backups stay, or removes them.
absl::Status DisposeOfBackups(const Model& model, const LaterDatabase& database, bool purge,
                              provisioners::OperationContext& context) {
  const std::string place = BackupPlace(model.input, database.backup_directory);
  if (purge) {
    return RemoveTree(place);
  }
  if (absl::StatusOr<std::string> id = LastBackupIn(model.input, database.name, database.backup_directory); id.ok()) {
    context.message(absl::StrCat("the last backup of database ", database.name, ", ", *id, ", stays in ", place,
                                 "; 'multigres db create ", database.name, " --restore ", database.backup_directory,
                                 "' brings it back"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDatabaseName(const std::string& name) {
  bool good = !name.empty() && name.size() <= kLongestName && absl::ascii_islower(name[0]) &&
              std::all_of(name.begin(), name.end(), [](char c) {
                return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-';
              });
  if (!good) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "this is no name for a database",
        {.reason = "BAD_DATABASE_NAME",
         .hint = absl::StrCat("use lower-case letters, digits, '_' and '-', a letter first, at most ", kLongestName)});
  }
  if (name == "template0" || name == "template1" || name == "postgres" || name == "multigres") {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat(name, " is a name of PostgreSQL's or Multigres's own"),
                     {.reason = "BAD_DATABASE_NAME", .hint = "choose another one"});
  }
  return absl::OkStatus();
}

absl::Status CheckLater(const Model& model, const std::string& name) {
  if (name.empty() || name == model.input.config.database) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat(model.input.config.database, " is the cluster's default database and stays with it"),
                     {.reason = "DEFAULT_DATABASE", .hint = "'multigres down --clean' removes the whole cluster"});
  }
  if (model.FindDatabase(name) == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no database ", name),
                     {.reason = "DATABASE_NOT_FOUND", .hint = absl::StrCat("there are ", Known(model))});
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> EnterDatabase(const Model& look, const v1::ProvisionDatabaseRequest& request,
                                   absl::Time deadline) {
  const std::string& name = request.database();
  if (look.store == nullptr || !look.record.wanted()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("cluster ", look.place.name, " does not run"),
                     {.reason = "CLUSTER_STOPPED", .hint = "run 'multigres up' first"});
  }
  if (const LaterDatabase* present = look.FindDatabase(name); present != nullptr) {
    if (present->leaving) {
      return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("database ", name, " is being deleted"),
                       {.reason = "DATABASE_LEAVING", .hint = "'multigres up' finishes that"});
    }
    if (request.create() && present->initialised) {
      return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat("database ", name, " exists already"),
                       {.reason = "DATABASE_EXISTS", .hint = "'multigres db list' shows all"});
    }
    MG_RETURN_IF_ERROR(CheckSameAsBegun(look, *present, request));
    return false;
  }
  MG_RETURN_IF_ERROR(CheckDatabaseName(name));
  MG_ASSIGN_OR_RETURN(std::vector<std::string> cells, ChooseCells(look, request));
  MG_RETURN_IF_ERROR(CheckPolicy(request.durability_policy(), cells.size()));
  MG_RETURN_IF_ERROR(CheckNotShadowing(look, name, deadline));
  std::string directory = request.restore_from(), backup;
  if (directory.empty()) {
    directory = FreeBackupDirectory(look.input, name);
  } else {
    MG_ASSIGN_OR_RETURN(backup, LastBackupIn(look.input, name, directory));
  }
  MG_RETURN_IF_ERROR(look.store->Update([&](store::ClusterRecord* record) {
    auto& entry = (*record->mutable_databases())[name];
    entry.mutable_cells()->Assign(cells.begin(), cells.end());
    entry.set_durability_policy(request.durability_policy());
    entry.set_backup_directory(directory);
    entry.set_restore_backup_id(backup);
  }));
  return true;
}

absl::Status CheckUnchanged(Model* model) {
  std::string other = model->added_cells.empty() && model->removed_cells.empty() ? "" : "other cells";
  for (const v1::ComponentChange& change : FindChangesOfNow(model)) {
    if (other.empty() && !OnlyWatchesOthers(change)) {
      other = DescribeChange(change);
    }
  }
  return other.empty()
             ? absl::OkStatus()
             : MakeError(absl::StatusCode::kFailedPrecondition,
                         absl::StrCat("the configuration has changed since what runs was started: ", other),
                         {.reason = "CONFIGURATION_CHANGED", .hint = "run 'multigres up' first, which applies it"});
}

absl::Status EraseDatabase(const Model& model, const std::string& name) {
  return model.store->Update([&](store::ClusterRecord* record) {
    for (const store::ComponentName& component : NamesIn(model, name)) {
      record->mutable_components()->erase(component.ToString());
      record->mutable_service_ids()->erase(component.Place());
    }
    record->mutable_databases()->erase(name);
  });
}

v1::ListDatabaseDataResponse ListDatabaseData(const Model& model, const std::string& name) {
  v1::ListDatabaseDataResponse response;
  auto add = [&](const std::string& path, const std::string& description) {
    if (Exists(path)) {
      v1::DataEntry* entry = response.add_entries();
      entry->set_path(path);
      entry->set_description(description);
      entry->set_bytes(TreeSize(path));
    }
  };
  for (const Member& member : MembersIn(model, name)) {
    add(PoolerDirOf(model.input, member), absl::StrCat("data of PostgreSQL in ", member.cell));
  }
  for (const store::ComponentName& component : NamesIn(model, name)) {
    add(model.input.paths.LogDir(component), absl::StrCat("logs of ", component.ToString()));
    response.add_components(component.ToString());
  }
  const LaterDatabase* database = model.FindDatabase(name);
  response.set_backup_directory(BackupPlace(model.input, database->backup_directory));
  response.set_needs_backup(database->initialised && !database->leaving);
  return response;
}

absl::Status BeginLeaving(const Model& look, const v1::DeprovisionDatabaseRequest& request,
                          const std::string& boot_id) {
  const std::string& name = request.database();
  MG_RETURN_IF_ERROR(CheckLater(look, name));
  if (!look.record.wanted()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, absl::StrCat("cluster ", look.place.name, " does not run"),
        {.reason = "CLUSTER_STOPPED", .hint = "run 'multigres up' first: the database is registered in etcd"});
  }
  const LaterDatabase& database = *look.FindDatabase(name);
  const std::string place = BackupPlace(look.input, database.backup_directory);
  if (!request.clean() && !request.last_backup_id().empty()) {
    MG_RETURN_IF_ERROR(
        WriteFileAtomically(JoinPath(place, kLastBackup), absl::StrCat(request.last_backup_id(), "\n"), 0600));
  } else if (!request.clean() && database.initialised && !database.leaving) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("database ", name, " has no last backup"),
                     {.reason = "LAST_BACKUP_MISSING", .hint = "make one, or say that none is wanted"});
  }
  return look.store->Update([&](store::ClusterRecord* record) {
    auto& entry = (*record->mutable_databases())[name];
    entry.set_leaving(true);
    entry.set_purge(request.clean());
    UnderWay::Mark(record, "up", boot_id);  // an 'up' finishes it
  });
}

absl::Status FinishLeaving(const Model& model, const std::string& name, supervisor::Supervisor* supervisor,
                           Watchman* watchman, ComponentRpc* rpc, unsigned uid,
                           provisioners::OperationContext& context) {
  Components components(model, supervisor, watchman, rpc);
  MG_RETURN_IF_ERROR(UnwatchDatabase(model, &components, supervisor, context));
  MG_RETURN_IF_ERROR(StopCluster(model, StopPart::kLater, supervisor, rpc, context, name).status());
  for (const store::ComponentName& component : NamesIn(model, name)) {
    watchman->ForgetComponent(model.input.paths.RunDir(component));
  }
  MG_RETURN_IF_ERROR(WithContext(RemoveLaterDatabaseRecords(model, name, context.deadline),
                                 absl::StrCat("remove the records of database ", name)));
  const store::ClusterRecord record = model.store->Get();
  auto entry = record.databases().find(name);
  bool purge = entry != record.databases().end() && entry->second.purge();
  MG_RETURN_IF_ERROR(RemoveData(model, name, uid));
  MG_RETURN_IF_ERROR(DisposeOfBackups(model, *model.FindDatabase(name), purge, context));
  return EraseDatabase(model, name);
}

}  // namespace mg::local
