// completion: the shells' scripts, and what they ask for.
#include "cli/args/completion.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
std::optional<Response> AskAdmin(Context& context,
                                 grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                 const Request& request) {
  absl::StatusOr<AdminRoute> route = context.Admin(/*start=*/false);
  if (!route.ok()) {
    return std::nullopt;
  }
  grpc::ClientContext rpc;
  rpc::SetDeadline(&rpc, absl::Now() + kLimit);
  route->prepare(&rpc);
  std::optional<Response> response(std::in_place);
  auto stub = Service::NewStub(route->channel);
  return (stub.get()->*method)(&rpc, request, &*response).ok() ? response : std::nullopt;
}

template <typename Request, typename Response>
void AddNames(Context& context, grpc::Status (Admin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              std::set<std::string>* names) {
  if (auto response = AskAdmin<Admin>(context, method, Request()); response.has_value()) {
    names->insert(response->names().begin(), response->names().end());
  }
}

void AddTokens(Context& context, std::set<std::string>* names) {
  using Service = multigres::admin::v1::TokenService;
  auto response = AskAdmin<Service>(context, &Service::Stub::ListTokens, multigres::admin::v1::ListTokensRequest());
  if (response.has_value()) {
    for (const auto& token : response->tokens()) {
      names->insert(token.name());
    }
  }
}

void AddBackups(Context& context, std::set<std::string>* names) {
  auto response =
      AskAdmin<Admin>(context, &Admin::Stub::GetBackups, OfBackupShard<multiadmin::GetBackupsRequest>(context));
  if (response.has_value()) {
    for (const auto& backup : response->backups()) {
      names->insert(backup.backup_id());
    }
  }
}

void AddClusters(Context& context, std::set<std::string>* names) {
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/false);
  if (!client.ok()) {
    return;
  }
  auto clusters = (*client)->Call(agent::ListClustersRequest(), absl::Now() + kLimit);
  if (clusters.ok()) {
    for (const auto& cluster : clusters->clusters()) {
      names->insert(cluster.name());
    }
  }
}

// The agent's own picture, without asking the components.
void AddComponents(Context& context, const std::string& kind, std::set<std::string>* names) {
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/false);
  if (!client.ok()) {
    return;
  }
  agent::WatchStateRequest request;
  *request.mutable_cluster() = context.Selector();
  absl::Status status = (*client)->Stream(request, [&](const agent::WatchStateResponse& response) {
    for (const auto& component : response.snapshot().components()) {
      if (absl::StartsWith(component.name(), kind)) {
        names->insert(component.name());
      }
    }
    return false;
  });
  status.IgnoreError();  // a shell's question is answered by what is known, or by nothing
}

std::set<std::string> Ask(Context& context, LiveNames live) {
  std::set<std::string> names;
  switch (live) {
    case LiveNames::kNone:
      break;
    case LiveNames::kClusters:
      AddClusters(context, &names);
      break;
    case LiveNames::kComponents:
      AddComponents(context, "", &names);
      break;
    case LiveNames::kGateways:
      AddComponents(context, "multigateway/", &names);
      break;
    case LiveNames::kPoolers:
      AddComponents(context, "multipooler/", &names);
      break;
    case LiveNames::kOrchs:
      AddComponents(context, "multiorch/", &names);
      break;
    case LiveNames::kCells:
      AddNames(context, &Admin::Stub::GetCellNames, &names);
      break;
    case LiveNames::kDatabases:
      AddNames(context, &Admin::Stub::GetDatabaseNames, &names);
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
      AddTokens(context, &names);
      break;
    case LiveNames::kBackups:
      AddBackups(context, &names);
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
