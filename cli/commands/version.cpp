#include "common/version/version.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/args/help.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/error.h"
#include "common/status/status.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

int RunVersion(Context& context) {
  multigres::cli::v1::VersionOutput output;
  output.set_version(kVersion);
  output.set_protocol(kAgentProtocol);
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/false, /*any=*/true);
  if (client.ok()) {
    auto info = (*client)->Call(multigres::agent::v1::GetInfoRequest(), absl::Now() + absl::Seconds(2));
    if (!info.ok()) {
      return context.Fail(info.status());
    }
    output.set_agent_version(info->version());
    if (std::string warning = VersionWarning(*info, kVersion); !warning.empty()) {
      context.Err(absl::StrCat("warning: ", warning, "\n"));
    }
  } else if (DetailOf(client.status()).value_or(ErrorDetail{}).reason != "AGENT_NOT_RUNNING") {
    return context.Fail(client.status());
  }
  return context.Emit(output, [&] {
    return absl::StrCat("multigres ", output.version(), "\nagent     ",
                        output.agent_version().empty() ? "not running" : output.agent_version(), "\n");
  });
}

int RunDocs(Context& context) {
  context.Out(context.args().Has("errors") ? ErrorReference() : Reference(context.commands()));
  return 0;
}

}  // namespace

Command VersionCommand() {
  return {
      .path = "version",
      .summary = "print versions of this program and of the agent",
      .examples = {{"multigres version --json", "for a bug report"}},
      .group = "CONFIGURATION",
      .run = RunVersion,
  };
}

Command DocsCommand() {
  return {
      .path = "docs",
      .summary = "print the command reference as Markdown",
      .flags = {{.name = "errors", .help = "the reference of errors instead"}},
      .examples = {{"multigres docs > docs/cli.md", "after a change of a command"},
                   {"multigres docs --errors > docs/errors.md", "after a change of the errors"}},
      .hidden = true,
      .run = RunDocs,
  };
}

}  // namespace mg::cli
