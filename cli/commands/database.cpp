// topology db create and delete: databases on demand; and their list with what they have.
#include <grpcpp/client_context.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/client/agent_client.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/database.h"
#include "cli/commands/operation.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "common/text/text.h"
#include "multigres/admin/v1/database.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;
namespace out = multigres::cli::v1;
using Service = v1::DatabaseService;

constexpr absl::Duration kCreateLimit = absl::Minutes(2);
constexpr absl::Duration kDeleteLimit = absl::Minutes(30);  // it makes a backup
constexpr absl::Duration kGrace = absl::Seconds(15);

google::protobuf::Duration LeftUntil(absl::Time deadline) { return OptionsUntil(deadline).timeout(); }

template <typename Request, typename Response>
using StreamMethod = std::unique_ptr<grpc::ClientReader<Response>> (Service::Stub::*)(grpc::ClientContext*,
                                                                                      const Request&);

struct Kind {
  std::string name;     ///< of the operation
  std::string command;  ///< that asks for it, and goes on with what it left
};

/// Whoever would have told of its end is gone; what was begun may go on all the same.
absl::Status CutOff(const absl::Status& status, const std::string& command) {
  ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  detail.hint =
      absl::StrCat("'multigres topology db list' shows what has become of it; '", command, "' goes on from there");
  if (!detail.reason.empty()) {
    return MakeError(status.code(), status.message(), detail);
  }
  return MakeError(status.code(),
                   "the answer did not arrive: the connection to the Admin API broke, and what was begun may go on",
                   {.reason = "ADMIN_API_UNAVAILABLE", .hint = detail.hint});
}

/// Reads one of the service's streams to its end, as the news of an operation of the agent, which it is.
template <typename Request, typename Response>
absl::Status Read(const AdminRoute& route, grpc::ClientContext* call, absl::Time deadline, const Kind& kind,
                  const Request& request, StreamMethod<Request, Response> method, const OperationReader& reader) {
  rpc::SetDeadline(call, deadline + kGrace);
  route.prepare(call);
  std::unique_ptr<Service::Stub> stub = Service::NewStub(route.channel);
  auto stream = (stub.get()->*method)(call, request);
  Response response;
  bool begun = false;
  while (stream->Read(&response)) {
    begun = true;
    multigres::agent::v1::OperationEvent event;
    event.set_operation_id(response.progress().operation_id());
    event.set_kind(kind.name);
    *event.mutable_progress() = response.progress();
    if (!reader(event)) {
      call->TryCancel();
    }
  }
  absl::Status ended = route.outcome(stream->Finish());
  return begun && absl::IsUnavailable(ended) ? CutOff(ended, kind.command) : ended;
}

/// An interrupt's hint speaks of the whole cluster; here the same command goes on with what was begun.
absl::Status WithSame(const absl::Status& status, const std::string& command) {
  const ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  const bool begun = detail.reason == "INTERRUPTED" && !absl::StrContains(detail.hint, "had not begun");
  return begun ? MakeError(status.code(), status.message(),
                           {.reason = detail.reason, .hint = absl::StrCat("'", command, "' goes on from here")})
               : status;
}

/// Here an interrupt cancels the operation; that of a cluster elsewhere goes on without this command.
template <typename Request, typename Response>
absl::StatusOr<out::OperationOutput> Run(Context& context, absl::Time deadline, const Kind& kind,
                                         const Request& request, StreamMethod<Request, Response> method) {
  MG_ASSIGN_OR_RETURN(std::string remote, context.Remote());
  HoldSignals();
  MG_ASSIGN_OR_RETURN(AdminRoute route, context.Admin());
  grpc::ClientContext call;
  if (remote.empty()) {
    return RunOperation(context, deadline, [&](AgentClient&, const OperationReader& reader) {
      return Read(route, &call, deadline, kind, request, method, reader);
    });
  }
  ProgressView view(context.terminal(), context.args().Has("quiet") || context.format() != Format::kText);
  out::OperationOutput output;
  absl::Status result = absl::UnknownError("the stream ended without a result");
  StreamWatcher watcher(context, view, deadline + 2 * kGrace,
                        {.interrupted = [&] { call.TryCancel(); }, .stuck = [&] { call.TryCancel(); }});
  absl::Status stream = Read(route, &call, deadline, kind, request, method, [&](const auto& event) {
    output.set_operation_id(event.operation_id());
    output.set_kind(event.kind());
    view.Show(event.progress());
    if (!event.progress().message().empty()) {
      output.add_messages(event.progress().message());
    }
    if (event.progress().has_result()) {
      const auto& ended = event.progress().result();
      output.set_unchanged(ended.unchanged());
      output.set_elapsed_seconds(static_cast<double>(ended.elapsed().seconds()) + ended.elapsed().nanos() / 1e9);
      result = ResultOf(ended);
    }
    return true;
  });
  view.Finish();
  if (watcher.interrupted() && !stream.ok()) {
    return MakeError(absl::StatusCode::kCancelled, "interrupted: the cluster goes on with what was begun",
                     {.reason = "INTERRUPTED", .hint = "multigres topology db list shows what has become of it"});
  }
  MG_RETURN_IF_ERROR(stream);
  MG_RETURN_IF_ERROR(result);
  return output;
}

/// An empty word is a variable that a script has not set.
absl::Status CheckWords(const Context& context) {
  const bool cells = context.args().Has("cells") && context.args().GetAll("cells").empty();
  return !context.args().positionals[0].empty() && !cells
             ? absl::OkStatus()
             : MakeError(absl::StatusCode::kInvalidArgument,
                         cells ? "--cells names none" : "the database's name is empty",
                         {.reason = "USAGE", .hint = cells ? "leave it out for all cells" : "give its name"});
}

int RunCreate(Context& context) {
  if (absl::Status words = CheckWords(context); !words.ok()) {
    return context.Fail(words);
  }
  absl::StatusOr<absl::Time> deadline = context.Deadline(kCreateLimit);
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  v1::CreateDatabaseRequest request;
  request.set_name(context.args().positionals[0]);
  for (const std::string& cell : context.args().GetAll("cells")) {
    request.add_cells(cell);
  }
  request.set_durability_policy(context.args().Get("durability"));
  request.set_restore_from(context.args().Get("restore"));
  *request.mutable_timeout() = LeftUntil(*deadline);
  const Kind kind = {.name = "create-database",
                     .command = absl::StrCat("multigres topology db create ", request.name())};
  auto output = Run<v1::CreateDatabaseRequest, v1::CreateDatabaseResponse>(context, *deadline, kind, request,
                                                                           &Service::Stub::CreateDatabase);
  if (!output.ok()) {
    return context.Fail(WithSame(output.status(), kind.command));
  }
  return context.Emit(*output, [&] {
    return absl::StrCat("database ", request.name(), " serves\n\nmultigres psql --database ", request.name(), "\n");
  });
}

/// `width` of the terminal that shows it; 0: none does.
std::string PlanText(const v1::PlanDeleteDatabaseResponse& plan, int width) {
  Table table({"PATH", "SIZE", "WHAT"}, 2);
  for (const auto& entry : plan.entries()) {
    table.Add({entry.path(), text::HumanBytes(entry.bytes()), entry.description()});
  }
  return absl::StrCat("components: ", absl::StrJoin(plan.components(), " "), "\n\n", table.Render(width, false));
}

std::string BackupText(const v1::PlanDeleteDatabaseResponse& plan, bool purge) {
  if (purge) {
    return absl::StrCat("its backups in ", plan.backup_directory(), " are removed too\n");
  }
  return absl::StrCat(plan.needs_backup() ? "a last backup is made before, which stays in " : "its backups stay in ",
                      plan.backup_directory(), "\n");
}

int RunDelete(Context& context) {
  if (absl::Status words = CheckWords(context); !words.ok()) {
    return context.Fail(words);
  }
  HoldSignals();
  absl::StatusOr<absl::Time> deadline = context.Deadline(kDeleteLimit);
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  const std::string& name = context.args().positionals[0];
  bool purge = context.args().Has("purge");
  const Terminal& terminal = context.terminal();
  v1::PlanDeleteDatabaseRequest question;
  question.set_name(name);
  v1::PlanDeleteDatabaseResponse plan;
  absl::Status planned = CallAdmin<Service>(context, &Service::Stub::PlanDeleteDatabase, question, &plan);
  if (!planned.ok()) {
    return context.Fail(planned);
  }
  if (context.args().Has("dry-run")) {
    return context.Emit(plan, [&] { return PlanText(plan, terminal.out_is_tty ? terminal.width : 0); });
  }
  if (!context.args().Has("quiet") && context.format() == Format::kText) {
    context.Err(absl::StrCat("this ends database ", name, " and removes ", purge ? "its data and backups" : "its data",
                             ":\n\n", PlanText(plan, terminal.err_is_tty ? terminal.width : 0), "\n",
                             BackupText(plan, purge), "\n"));
  }
  absl::StatusOr<bool> yes = ConfirmWithSignals(context, absl::StrCat("delete database ", name, "?"));
  if (!yes.ok()) {
    return context.Fail(yes.status());
  }
  if (!*yes) {
    return context.Fail(absl::CancelledError("nothing was deleted"));
  }
  v1::DeleteDatabaseRequest request;
  request.set_name(name);
  request.set_purge(purge);
  *request.mutable_timeout() = LeftUntil(*deadline);
  const Kind kind = {.name = "delete-database", .command = absl::StrCat("multigres topology db delete ", name)};
  auto output = Run<v1::DeleteDatabaseRequest, v1::DeleteDatabaseResponse>(context, *deadline, kind, request,
                                                                           &Service::Stub::DeleteDatabase);
  if (!output.ok()) {
    return context.Fail(WithSame(output.status(), kind.command));
  }
  return context.Emit(*output, [&] { return absl::StrCat("database ", name, " is gone\n"); });
}

}  // namespace

int ShowDatabases(Context& context) {
  v1::ListDatabasesResponse response;
  absl::Status status =
      CallAdmin<Service>(context, &Service::Stub::ListDatabases, v1::ListDatabasesRequest(), &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    Table table({"NAME", "CELLS", "DURABILITY", "POOLERS", "PRIMARY"}, 1);
    for (const v1::DatabaseSummary& summary : response.databases()) {
      const auto& database = summary.database();
      table.Add({database.name(), absl::StrJoin(database.cells(), " "),
                 database.bootstrap_durability_policy().policy_name(), absl::StrCat(summary.poolers()),
                 summary.has_leader() ? summary.leader().cell() : ""});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

std::vector<Command> DatabaseCommands() {
  const Positional name = {.name = "NAME", .help = "the database", .required = true};
  return {
      {.path = "topology db create",
       .summary = "make a database with PostgreSQL servers of its own",
       .description =
           "Make a database: in each of its cells a PostgreSQL with its pgctld and multipooler, watched by the orchs; "
           "clients reach it by its name through every gateway. It comes back with 'multigres up' like everything "
           "else. What an interrupted creation left, the same command goes on with.",
       .positionals = {name},
       .flags = {{.name = "cells", .value = "CELL", .help = "cells that it lives in; default: all", .repeated = true},
                 {.name = "durability",
                  .value = "POLICY",
                  .help = "when a commit is durable; default: as the cluster's",
                  .choices = {"AT_LEAST_1", "AT_LEAST_2", "MULTI_CELL_AT_LEAST_2"}},
                 {.name = "restore",
                  .value = "BACKUPS",
                  .help = "begin with what a deleted database of this name left; its deletion said what it is called"}},
       .examples = {{"multigres topology db create shop", "in every cell"},
                    {"multigres topology db create shop --cells zone1,zone2", "in two of them"},
                    {"multigres topology db create shop --restore shop.20260105T093011Z",
                     "as it was when it was deleted"}},
       .aliases = {"db create"},
       .group = "TOPOLOGY",
       .run = RunCreate},
      {.path = "topology db delete",
       .summary = "end a database and remove it",
       .description =
           "End a database: its components, its records and its data. A last backup is made before, which stays with "
           "the database's other backups, unless --purge says otherwise: then those go too. What is printed at the end "
           "says where it is, and how it comes back.",
       .positionals = {name},
       .flags = {{.name = "purge", .help = "make no last backup, and remove those that there are"},
                 {.name = "yes", .letter = 'y', .help = "do not ask"},
                 {.name = "dry-run", .help = "show what would be removed and do nothing"}},
       .examples = {{"multigres topology db delete shop", "shows what goes, and asks"},
                    {"multigres topology db delete shop --purge --yes", "without a question and without a last copy"}},
       .aliases = {"db delete"},
       .group = "TOPOLOGY",
       .run = RunDelete},
  };
}

}  // namespace mg::cli
