// completion: the shells' scripts, and what they ask for.
#include "cli/args/completion.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/client/remote_contexts.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/backup.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/outputs.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/identity.grpc.pb.h"

namespace mg::cli {
namespace {

using Admin = multiadmin::MultiadminService;

/// A shell waits for the answer while a person types.
constexpr absl::Duration kLimit = absl::Milliseconds(300);

/// Asks the Admin API one thing; nullopt: it did not answer, or says no.
template <typename Service, typename Request, typename Response>
std::optional<Response> AskAdmin(Context& context, absl::Time deadline,
                                 grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                 const Request& request) {
  absl::StatusOr<AdminRoute> route = context.Admin(/*start=*/false);
  if (!route.ok()) {
    return std::nullopt;
  }
  grpc::ClientContext rpc;
  rpc::SetDeadline(&rpc, deadline);
  route->prepare(&rpc);
  std::optional<Response> response(std::in_place);
  auto stub = Service::NewStub(route->channel);
  return (stub.get()->*method)(&rpc, request, &*response).ok() ? response : std::nullopt;
}

template <typename Request, typename Response>
void AddNames(Context& context, absl::Time deadline,
              grpc::Status (Admin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              std::set<std::string>* names) {
  if (auto response = AskAdmin<Admin>(context, deadline, method, Request()); response.has_value()) {
    names->insert(response->names().begin(), response->names().end());
  }
}

void AddTokens(Context& context, absl::Time deadline, std::set<std::string>* names) {
  using Service = multigres::admin::v1::TokenService;
  auto response =
      AskAdmin<Service>(context, deadline, &Service::Stub::ListTokens, multigres::admin::v1::ListTokensRequest());
  if (response.has_value()) {
    for (const auto& token : response->tokens()) {
      names->insert(token.name());
    }
  }
}

void AddBackups(Context& context, absl::Time deadline, std::set<std::string>* names) {
  auto response = AskAdmin<Admin>(context, deadline, &Admin::Stub::GetBackups,
                                  OfBackupShard<multiadmin::GetBackupsRequest>(context));
  if (response.has_value()) {
    for (const auto& backup : response->backups()) {
      names->insert(backup.backup_id());
    }
  }
}

/// What the agent has recorded: it asks nobody for that. Empty where none runs, or one that is too old to know of this.
agent::ListNamesResponse Recorded(Context& context, absl::Time deadline) {
  agent::ListNamesRequest request;
  *request.mutable_cluster() = context.Selector();
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/false);
  return client.ok() ? (*client)->Call(request, deadline).value_or(agent::ListNamesResponse())
                     : agent::ListNamesResponse();
}

/// multipooler/zone1, and what else the command takes for it: its kind, its cell.
void AddComponents(Context& context, absl::Time deadline, LiveNames live, std::set<std::string>* names) {
  const agent::ListNamesResponse recorded = Recorded(context, deadline);
  for (const std::string& name : recorded.components()) {
    const std::vector<std::string> parts = absl::StrSplit(name, '/');
    const bool kinds = live == LiveNames::kSelectors || live == LiveNames::kLogs;
    names->insert(name);
    if (kinds) {
      names->insert(parts[0]);
    }
    if ((kinds || live == LiveNames::kFaultTargets) && parts.size() > 1) {
      names->insert(parts[1]);
    }
    if (live == LiveNames::kFaultTargets && parts.size() > 2) {
      names->insert(absl::StrCat("primary/", parts[2]));
    }
  }
  if (live == LiveNames::kFaultTargets && !names->empty()) {
    names->insert("primary");
  }
  if (live == LiveNames::kLogs && !names->empty()) {
    names->insert({"audit", "cluster"});
  }
}

void AddOfKind(Context& context, absl::Time deadline, const std::string& kind, std::set<std::string>* names) {
  const agent::ListNamesResponse recorded = Recorded(context, deadline);
  for (const std::string& name : recorded.components()) {
    if (absl::StartsWith(name, absl::StrCat(kind, "/"))) {
      names->insert(name);
    }
  }
}

/// All that is asked for one answer has one limit.
std::set<std::string> Ask(Context& context, LiveNames live) {
  const absl::Time deadline = absl::Now() + kLimit;
  context.OnlyAsk(deadline);
  std::set<std::string> names;
  switch (live) {
    case LiveNames::kNone:
      break;
    case LiveNames::kClusters: {
      const agent::ListNamesResponse recorded = Recorded(context, deadline);
      names.insert(recorded.clusters().begin(), recorded.clusters().end());
      break;
    }
    case LiveNames::kComponents:
    case LiveNames::kSelectors:
    case LiveNames::kLogs:
    case LiveNames::kFaultTargets:
      AddComponents(context, deadline, live, &names);
      break;
    case LiveNames::kGateways:
      AddOfKind(context, deadline, "multigateway", &names);
      break;
    case LiveNames::kPoolers:
      AddOfKind(context, deadline, "multipooler", &names);
      break;
    case LiveNames::kOrchs:
      AddOfKind(context, deadline, "multiorch", &names);
      break;
    case LiveNames::kCells:
      AddNames(context, deadline, &Admin::Stub::GetCellNames, &names);
      break;
    case LiveNames::kDatabases:
      AddNames(context, deadline, &Admin::Stub::GetDatabaseNames, &names);
      break;
    case LiveNames::kContexts: {
      absl::StatusOr<RemoteContexts> contexts = RemoteContexts::Open(context.environment());
      absl::StatusOr<std::vector<RemoteContexts::Entry>> entries = contexts.ok() ? contexts->List() : contexts.status();
      names.insert(kLocalContext);
      if (entries.ok()) {
        for (const RemoteContexts::Entry& entry : *entries) {
          names.insert(entry.context.name());
        }
      }
      break;
    }
    case LiveNames::kSchemas:
      for (const Output& output : Outputs()) {
        names.insert(SchemaName(output));
      }
      break;
    case LiveNames::kTokens:
      AddTokens(context, deadline, &names);
      break;
    case LiveNames::kBackups:
      AddBackups(context, deadline, &names);
      break;
  }
  return names;
}

// Never an error and never a word on stderr: the person is in the middle of a line.
int RunComplete(Context& context) {
  Completion completion = Complete(context.commands(), context.args().positionals);
  std::string text;
  for (const Candidate& candidate : completion.candidates) {
    absl::StrAppend(&text, candidate.value, candidate.description.empty() ? "" : "\t", candidate.description, "\n");
  }
  if (completion.files) {
    absl::StrAppend(&text, kFilesMark, "\n");
  }
  completion.arguments.command = context.args().command;
  // Never destroyed: closing its connection in order would keep the person waiting; main ends the process without.
  auto* const inner = new Context(context.commands(), completion.arguments, context.environment());
  for (const std::string& name : Ask(*inner, completion.live)) {
    const bool listed = std::find(completion.listed.begin(), completion.listed.end(), name) != completion.listed.end();
    if (!listed && absl::StartsWith(name, completion.prefix)) {
      absl::StrAppend(&text, completion.before, name, "\n");
    }
  }
  context.Out(text);
  return kExitOk;
}

int RunCompletion(Context& context) {
  const std::string& shell = context.args().positionals[0];
  if (shell != "bash" && shell != "zsh" && shell != "fish") {
    return context.Fail(MakeError(absl::StatusCode::kInvalidArgument,
                                  absl::StrCat("there is no script for '", shell, "'"),
                                  {.reason = "USAGE", .hint = "use one of: bash, zsh, fish"}));
  }
  context.Out(CompletionScript(shell));
  return kExitOk;
}

}  // namespace

std::vector<Command> CompletionCommands() {
  return {
      {.path = "completion",
       .summary = "print a shell's completion script",
       .description =
           "Print the script that completes commands, flags and live names (clusters, components, cells, databases, "
           "contexts) in bash, zsh or fish. It asks this program; without an agent it offers what is known without.",
       .positionals = {{.name = "SHELL", .help = "bash, zsh or fish", .required = true}},
       .examples = {{"source <(multigres completion bash)", "in ~/.bashrc"},
                    {"source <(multigres completion zsh)", "in ~/.zshrc, after compinit"},
                    {"multigres completion fish | source", "in config.fish"}},
       .group = "CONFIGURATION",
       .run = RunCompletion},
      {.path = "__complete",
       .summary = "what could stand at the end of a command line; for the scripts",
       .positionals = {{.name = "WORD", .help = "the words so far, after --", .repeated = true}},
       .examples = {{"multigres __complete -- topology cell get ''", "names of the cells"}},
       .hidden = true,
       .run = RunComplete},
  };
}

}  // namespace mg::cli
