// Upstream's own spellings: its flags, its output, its exit status, so that scripts written for it run. Not in the
// help.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/upstream.h"
#include "cli/output/go_json.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "multiadminservice.grpc.pb.h"

namespace mg::cli {
namespace {

using Admin = multiadmin::MultiadminService;

enum class Dialect { kGoStruct, kGoProto };

template <typename Request, typename Response>
int Call(Context& context, grpc::Status (Admin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
         const Request& request, Dialect dialect) {
  Response response;
  if (absl::Status status = CallAdmin<Admin>(context, method, request, &response); !status.ok()) {
    return context.Fail(status);
  }
  context.Out(dialect == Dialect::kGoStruct ? GoStructJson(response) : GoProtoJson(response));
  return kExitOk;
}

// Upstream takes blanks around a name for nothing.
template <typename Request>
Request InCells(const Context& context) {
  Request request;
  for (const std::string& cell : context.args().GetAll("cells")) {
    if (absl::string_view name = absl::StripAsciiWhitespace(cell); !name.empty()) {
      request.add_cells(std::string(name));
    }
  }
  return request;
}

// Cobra's words for what a required flag lacks.
bool Missing(const Context& context, const std::vector<std::string>& flags) {
  std::vector<std::string> missing;
  for (const std::string& flag : flags) {
    if (!context.args().Has(flag)) {
      missing.push_back(absl::StrCat("\"", flag, "\""));
    }
  }
  if (missing.empty()) {
    return false;
  }
  context.Err(absl::StrCat("Error: required flag(s) ", absl::StrJoin(missing, ", "), " not set\n"));
  return true;
}

int RunGetCell(Context& context) {
  multiadmin::GetCellRequest request;
  request.set_name(context.args().Get("name"));
  return Missing(context, {"name"}) ? kExitFailed : Call(context, &Admin::Stub::GetCell, request, Dialect::kGoStruct);
}

int RunGetDatabase(Context& context) {
  multiadmin::GetDatabaseRequest request;
  request.set_name(context.args().Get("name"));
  return Missing(context, {"name"}) ? kExitFailed
                                    : Call(context, &Admin::Stub::GetDatabase, request, Dialect::kGoStruct);
}

int RunGetPoolers(Context& context) {
  auto request = InCells<multiadmin::GetPoolersRequest>(context);
  request.set_database(context.args().Get("database"));
  return Call(context, &Admin::Stub::GetPoolers, request, Dialect::kGoProto);
}

int RunGetPoolerStatus(Context& context) {
  if (Missing(context, {"cell", "service-id"})) {
    return kExitFailed;
  }
  multiadmin::GetPoolerStatusRequest request;
  request.mutable_pooler_id()->set_cell(context.args().Get("cell"));
  request.mutable_pooler_id()->set_name(context.args().Get("service-id"));
  return Call(context, &Admin::Stub::GetPoolerStatus, request, Dialect::kGoProto);
}

// A record that is there already is kept and shown.
template <typename Record>
absl::Status Create(Context& context, const char* kind, const Record& record, const absl::Status& created,
                    const absl::StatusOr<topology::Versioned<Record>>& present) {
  if (created.ok()) {
    context.Out(absl::StrCat("Created ", kind, " ", record.name(), "\n"));
    return created;
  }
  if (!absl::IsAlreadyExists(created)) {
    return WithContext(created, absl::StrCat("cannot create ", kind, " ", record.name()));
  }
  MG_RETURN_IF_ERROR(present.status());
  context.Out(
      absl::StrCat("The ", kind, " ", record.name(), " exists already: ", present->record.ShortDebugString(), "\n"));
  return absl::OkStatus();
}

absl::Status WriteMetadata(Context& context) {
  std::string policy = context.args().Get("durability-policy", "none");
  if (policy != "AT_LEAST_2" && policy != "MULTI_CELL_AT_LEAST_2") {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("invalid durability policy: ", policy),
                     {.reason = "USAGE", .hint = "use AT_LEAST_2 or MULTI_CELL_AT_LEAST_2"});
  }
  std::vector<std::string> servers =
      absl::StrSplit(context.args().Get("global-topo-address", "localhost:2379"), ',', absl::SkipEmpty());
  std::string root = context.args().Get("global-topo-root", "/multigres/test/global");
  std::vector<std::string> cells = context.args().GetAll("cells");
  if (cells.empty()) {
    cells = {"zone1"};
  }
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(absl::Seconds(30)));
  std::unique_ptr<topology::Topology> topology = topology::Topology::Create(servers, root);
  clustermetadata::Database database;
  database.set_name("postgres");
  database.mutable_backup_location()->mutable_filesystem()->set_path(context.args().Get("backup-location"));
  database.mutable_bootstrap_durability_policy()->set_policy_name(policy);
  for (std::string& name : cells) {
    name = std::string(absl::StripAsciiWhitespace(name));
    MG_RETURN_IF_ERROR(topology::ValidateCellName(name));
    clustermetadata::Cell cell;
    cell.set_name(name);
    cell.mutable_server_addresses()->Add(servers.begin(), servers.end());
    cell.set_root(absl::StrCat(root, "/", name));
    absl::Status created = topology->CreateCell(cell, deadline);
    MG_RETURN_IF_ERROR(
        Create<clustermetadata::Cell>(context, "cell", cell, created, topology->GetCell(name, deadline)));
    database.add_cells(name);
  }
  absl::Status created = topology->CreateDatabase(database, deadline);
  return Create<clustermetadata::Database>(context, "database", database, created,
                                           topology->GetDatabase(database.name(), deadline));
}

int RunCreateClusterMetadata(Context& context) {
  if (Missing(context, {"backup-location"})) {
    return kExitFailed;
  }
  absl::Status status = WriteMetadata(context);
  return status.ok() ? kExitOk : context.Fail(status);
}

// Backups in S3 are not available; what asks for them is refused in so many words, and a local place needs no check.
int RunCheckBackupConfig(Context& context) {
  if (context.args().Has("backup-url") || context.args().Has("region")) {
    return context.Fail(MakeError(absl::StatusCode::kUnimplemented, "backups in S3 are not available in this version",
                                  {.hint = "leave --backup-url out; backups go to a directory"}));
  }
  context.Out("Backups go to a directory of this machine; there is nothing to check\n");
  return kExitOk;
}

int RunRefreshCredentials(Context& context) {
  return context.Fail(MakeError(absl::StatusCode::kUnimplemented,
                                "backups in S3 are not available in this version, so there are no credentials",
                                {.hint = "backups go to a directory"}));
}

}  // namespace

Command UpstreamCommand(const char* path, const char* summary, std::vector<Flag> flags,
                        std::function<int(Context&)> run, const char* needed) {
  flags.push_back({.name = "config-path",
                   .value = "PATH",
                   .help = "directories; the first that holds a multigres.yaml counts",
                   .repeated = true});
  return {.path = path,
          .summary = summary,
          .flags = std::move(flags),
          .examples = {{absl::StrCat("multigres ", path, *needed == 0 ? "" : " ", needed), "as upstream's"}},
          .hidden = true,
          .upstream = true,
          .run = std::move(run)};
}

std::vector<Command> UpstreamCommands() {
  const Flag name = {.name = "name", .value = "NAME", .help = "its name"};
  const Flag cells = {.name = "cells", .value = "CELLS", .help = "only of these cells", .repeated = true};
  return {
      UpstreamCommand("getcell", "a cell's record", {name}, RunGetCell, "--name zone1"),
      UpstreamCommand("getcellnames", "names of the cells", {},
                      [](Context& c) {
                        return Call(c, &Admin::Stub::GetCellNames, multiadmin::GetCellNamesRequest(),
                                    Dialect::kGoStruct);
                      }),
      UpstreamCommand("getdatabase", "a database's record", {name}, RunGetDatabase, "--name postgres"),
      UpstreamCommand("getdatabasenames", "names of the databases", {},
                      [](Context& c) {
                        return Call(c, &Admin::Stub::GetDatabaseNames, multiadmin::GetDatabaseNamesRequest(),
                                    Dialect::kGoStruct);
                      }),
      UpstreamCommand("getgateways", "records of the gateways", {cells},
                      [](Context& c) {
                        return Call(c, &Admin::Stub::GetGateways, InCells<multiadmin::GetGatewaysRequest>(c),
                                    Dialect::kGoStruct);
                      }),
      UpstreamCommand("getorchs", "records of the orchs", {cells},
                      [](Context& c) {
                        return Call(c, &Admin::Stub::GetOrchs, InCells<multiadmin::GetOrchsRequest>(c),
                                    Dialect::kGoStruct);
                      }),
      UpstreamCommand("getpoolers", "records of the poolers",
                      {cells, {.name = "database", .value = "NAME", .help = "only of this database"}}, RunGetPoolers),
      UpstreamCommand("getpoolerstatus", "how a pooler is",
                      {{.name = "cell", .value = "CELL", .help = "its cell"},
                       {.name = "service-id", .value = "ID", .help = "its id's name"}},
                      RunGetPoolerStatus, "--cell zone1 --service-id bcdf2456"),
      UpstreamCommand(
          "createclustermetadata", "write the records of cells and of the database postgres into etcd",
          {{.name = "global-topo-address", .value = "HOST:PORT", .help = "etcd; localhost:2379 when not given"},
           {.name = "global-topo-root", .value = "PATH", .help = "/multigres/test/global when not given"},
           {.name = "cells", .value = "CELLS", .help = "zone1 when not given", .repeated = true},
           {.name = "durability-policy", .value = "POLICY", .help = "AT_LEAST_2 or MULTI_CELL_AT_LEAST_2"},
           {.name = "backup-location", .value = "PATH", .help = "directory of the backups"}},
          RunCreateClusterMetadata, "--durability-policy AT_LEAST_2 --backup-location /srv/backups"),
      UpstreamCommand("cluster check-backup-config", "whether backups can be written",
                      {{.name = "backup-url", .value = "URL", .help = "an S3 bucket"},
                       {.name = "region", .value = "REGION", .help = "its region"}},
                      RunCheckBackupConfig),
      UpstreamCommand("cluster refresh-credentials", "write S3 keys anew", {}, RunRefreshCredentials),
  };
}

}  // namespace mg::cli
