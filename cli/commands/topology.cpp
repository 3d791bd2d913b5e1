#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/database.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"

namespace mg::cli {
namespace {

std::string NamesText(const google::protobuf::RepeatedPtrField<std::string>& names) {
  return absl::StrCat(absl::StrJoin(names, "\n"), names.empty() ? "" : "\n");
}

int RunCellList(Context& context) {
  multiadmin::GetCellNamesResponse response;
  absl::Status status = CallAdmin<multiadmin::MultiadminService>(
      context, &multiadmin::MultiadminService::Stub::GetCellNames, multiadmin::GetCellNamesRequest(), &response);
  return status.ok() ? context.Emit(response, [&] { return NamesText(response.names()); }) : context.Fail(status);
}

int RunDatabaseList(Context& context) {
  if (context.args().Has("long")) {
    return ShowDatabases(context);
  }
  multiadmin::GetDatabaseNamesResponse response;
  absl::Status status =
      CallAdmin<multiadmin::MultiadminService>(context, &multiadmin::MultiadminService::Stub::GetDatabaseNames,
                                               multiadmin::GetDatabaseNamesRequest(), &response);
  return status.ok() ? context.Emit(response, [&] { return NamesText(response.names()); }) : context.Fail(status);
}

int RunDatabaseGet(Context& context) {
  multiadmin::GetDatabaseRequest request;
  request.set_name(context.args().positionals[0]);
  multiadmin::GetDatabaseResponse response;
  absl::Status status = CallAdmin<multiadmin::MultiadminService>(
      context, &multiadmin::MultiadminService::Stub::GetDatabase, request, &response);
  if (!status.ok()) {
    return context.Fail(Suggested(context, status, CheckDatabase, request.name()));
  }
  return context.Emit(response, [&] {
    const auto& database = response.database();
    return absl::StrCat("name        ", database.name(), "\ncells       ", absl::StrJoin(database.cells(), " "),
                        "\ndurability  ", database.bootstrap_durability_policy().policy_name(), "\nbackups     ",
                        database.backup_location().filesystem().path(), "\n");
  });
}

}  // namespace

std::vector<Command> TopologyCommands() {
  return {
      {.path = "topology cell list",
       .summary = "list the cells",
       .examples = {{"multigres topology cell list", "names, one a line"}},
       .aliases = {"cell list"},
       .group = "TOPOLOGY",
       .run = RunCellList},
      {.path = "topology db list",
       .summary = "list the databases",
       .flags = {{.name = "long", .letter = 'l', .help = "with cells, durability, poolers and primary"}},
       .examples = {{"multigres topology db list", "names, one a line"},
                    {"multigres topology db list --long", "a table"}},
       .aliases = {"db list"},
       .group = "TOPOLOGY",
       .run = RunDatabaseList},
      {.path = "topology db get",
       .summary = "show a database's record",
       .positionals = {{.name = "NAME", .help = "the database", .required = true}},
       .examples = {{"multigres topology db get postgres --json", "cells, durability policy, backup location"}},
       .aliases = {"db get"},
       .group = "TOPOLOGY",
       .run = RunDatabaseGet},
  };
}

}  // namespace mg::cli
