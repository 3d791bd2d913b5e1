// topology cell create, update, delete.
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/cell.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;
using Cells = v1::CellService;

absl::StatusOr<std::int64_t> VersionOf(const Context& context) {
  std::int64_t version = 0;
  std::string text = context.args().Get("version", "0");
  if (!absl::SimpleAtoi(text, &version) || version < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", text, "' is not a version"),
                     {.reason = "USAGE", .hint = "use the version that an earlier answer had, such as --version 42"});
  }
  return version;
}

clustermetadata::Cell Wanted(const Context& context) {
  clustermetadata::Cell cell;
  cell.set_name(context.args().positionals[0]);
  cell.set_root(context.args().Get("root"));
  for (const std::string& address : context.args().GetAll("server-address")) {
    cell.add_server_addresses(std::string(absl::StripAsciiWhitespace(address)));
  }
  return cell;
}

template <typename Response>
int Show(Context& context, const absl::Status& status, const Response& response, const char* done) {
  if (!status.ok()) {
    return context.Fail(Suggested(context, status, CheckCell, context.args().positionals[0]));
  }
  return context.Emit(response, [&] {
    const clustermetadata::Cell& cell = response.cell().cell();
    return absl::StrCat(done, " cell ", cell.name(), "\nroot     ", cell.root(), "\nservers  ",
                        absl::StrJoin(cell.server_addresses(), " "), "\nversion  ", response.cell().version(), "\n");
  });
}

/// With its version, and what is registered there. Upstream's Admin API knows the record alone.
int RunGet(Context& context) {
  const std::string& name = context.args().positionals[0];
  v1::GetCellRequest request;
  request.set_name(name);
  v1::GetCellResponse response;
  absl::Status status = CallAdmin<Cells>(context, &Cells::Stub::GetCell, request, &response);
  if (absl::IsUnimplemented(status)) {
    multiadmin::GetCellRequest record;
    record.set_name(name);
    multiadmin::GetCellResponse found;
    status = CallAdmin<multiadmin::MultiadminService>(context, &multiadmin::MultiadminService::Stub::GetCell, record,
                                                      &found);
    *response.mutable_cell()->mutable_cell() = std::move(*found.mutable_cell());
  }
  if (!status.ok()) {
    return context.Fail(Suggested(context, status, CheckCell, name));
  }
  return context.Emit(response, [&] {
    const v1::Cell& found = response.cell();
    std::string text = absl::StrCat("name       ", found.cell().name(), "\nroot       ", found.cell().root(),
                                    "\nservers    ", absl::StrJoin(found.cell().server_addresses(), " "), "\n");
    if (found.version() != 0) {
      absl::StrAppend(&text, "version    ", found.version(), "\n");
      for (auto [what, count] : {std::pair("poolers    ", found.poolers()), std::pair("gateways   ", found.gateways()),
                                 std::pair("orchs      ", found.orchs())}) {
        absl::StrAppend(&text, what,
                        found.unreadable().empty() ? absl::StrCat(count)
                        : count == 0               ? "not known"
                                                   : absl::StrCat(count, " when last read"),
                        "\n");
      }
      absl::StrAppend(&text, "databases  ", absl::StrJoin(found.databases(), " "), "\n");
    }
    if (!found.unreadable().empty()) {
      absl::StrAppend(&text, "unread     ", found.unreadable(), "\n");
    }
    return text;
  });
}

int RunCreate(Context& context) {
  v1::CreateCellRequest request;
  *request.mutable_cell() = Wanted(context);
  v1::CreateCellResponse response;
  absl::Status status = CallAdmin<Cells>(context, &Cells::Stub::CreateCell, request, &response);
  if (!response.warning().empty() && context.format() == Format::kText) {
    context.Err(absl::StrCat("warning: the cell was created, but ", response.warning(), "\n"));
  }
  return Show(context, status, response, "created");
}

int RunUpdate(Context& context) {
  absl::StatusOr<std::int64_t> version = VersionOf(context);
  if (!version.ok()) {
    return context.Fail(version.status());
  }
  if (!context.args().Has("root") && !context.args().Has("server-address")) {
    return context.Fail(MakeError(absl::StatusCode::kInvalidArgument, "nothing to change was given",
                                  {.reason = "USAGE", .hint = "use --server-address, --root, or both"}));
  }
  absl::Status confirmed = context.ConfirmRemote(absl::StrCat("change cell ", context.args().positionals[0], "?"));
  if (!confirmed.ok()) {
    return context.Fail(confirmed);
  }
  v1::UpdateCellRequest request;
  *request.mutable_cell() = Wanted(context);
  request.set_version(*version);
  request.set_force(context.args().Has("force"));
  v1::UpdateCellResponse response;
  return Show(context, CallAdmin<Cells>(context, &Cells::Stub::UpdateCell, request, &response), response, "updated");
}

int RunDelete(Context& context) {
  absl::StatusOr<std::int64_t> version = VersionOf(context);
  if (!version.ok()) {
    return context.Fail(version.status());
  }
  const std::string& name = context.args().positionals[0];
  if (absl::Status status = CheckCell(context, name); !status.ok()) {
    return context.Fail(status);
  }
  absl::StatusOr<bool> yes = context.Confirm(absl::StrCat("delete cell ", name, "?"));
  if (!yes.ok()) {
    return context.Fail(yes.status());
  }
  if (!*yes) {
    return context.Fail(absl::CancelledError("nothing was deleted"));
  }
  v1::DeleteCellRequest request;
  request.set_name(name);
  request.set_version(*version);
  request.set_forget_silent(context.args().Has("forget-silent"));
  v1::DeleteCellResponse response;
  return Show(context, CallAdmin<Cells>(context, &Cells::Stub::DeleteCell, request, &response), response, "deleted");
}

}  // namespace

std::vector<Command> CellCommands() {
  const Positional name = {.name = "NAME", .help = "the cell", .required = true};
  const Flag root = {.name = "root", .value = "PATH", .help = "key prefix of its topology"};
  const Flag servers = {
      .name = "server-address", .value = "HOST:PORT", .help = "its etcd; may be given several times", .repeated = true};
  const Flag version = {
      .name = "version", .value = "N", .help = "only when this is still its version, as an earlier answer had it"};
  return {
      {.path = "topology cell get",
       .summary = "show a cell, with the version that changes want",
       .positionals = {name},
       .examples = {{"multigres topology cell get zone1", "its place in the topology"},
                    {"multigres topology cell get zone1 --json | jq -r .cell.version", "its version, for a script"}},
       .aliases = {"cell get"},
       .group = "TOPOLOGY",
       .run = RunGet},
      {.path = "topology cell create",
       .summary = "create a cell",
       .description =
           "Create a cell: its record, so that components can be started there. Without flags its topology is kept by "
           "the same etcd as the global one, beside it.",
       .positionals = {{.name = "NAME", .help = "letters, digits and '-', at most 40", .required = true}},
       .flags = {root, servers},
       .examples = {{"multigres topology cell create zone4", "beside the others"}},
       .aliases = {"cell create"},
       .group = "TOPOLOGY",
       .run = RunCreate},
      {.path = "topology cell update",
       .summary = "change a cell's etcd or root",
       .positionals = {name},
       .flags = {root,
                 servers,
                 version,
                 {.name = "force",
                  .help = "although components are registered below the present root, or its etcd is away"},
                 {.name = "yes", .letter = 'y', .help = "do not ask; only on another machine's cluster it asks"}},
       .examples = {{"multigres topology cell update zone4 --server-address 10.0.0.4:2379 --version 42",
                     "when nobody else changed it meanwhile"}},
       .aliases = {"cell update"},
       .group = "TOPOLOGY",
       .run = RunUpdate},
      {.path = "topology cell delete",
       .summary = "delete a cell in which nothing lives",
       .description =
           "Delete a cell. Refused while a gateway, an orch or a pooler lives there, which the answer names; what has "
           "shut down does not count. A pooler that is drained lives: its node still holds data that counts. Take it "
           "out of the cohort (shard apply-rule-change --cohort), then stop it.",
       .positionals = {name},
       .flags = {version,
                 {.name = "forget-silent",
                  .help = "also when components are registered that no longer answer, or its etcd does not"},
                 {.name = "yes", .letter = 'y', .help = "do not ask"}},
       .examples = {{"multigres topology cell delete zone4", "after its components are gone"}},
       .aliases = {"cell delete"},
       .group = "TOPOLOGY",
       .run = RunDelete},
  };
}

}  // namespace mg::cli
