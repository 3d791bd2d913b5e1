// component config, component open: what a component serves over HTTP.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/table.h"
#include "common/admin_token/admin_token.h"
#include "common/fs/fs.h"
#include "common/net/exchange.h"
#include "common/net/http.h"
#include "common/status/status.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

/// The HTTP server of a component of this machine.
struct Page {
  int port = 0;
  std::string authorization;  ///< empty: it asks for none
};

absl::StatusOr<Page> FindPage(Context& context, const std::string& name, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  agent::GetClusterRequest request;
  *request.mutable_cluster() = context.Selector();
  MG_ASSIGN_OR_RETURN(agent::GetClusterResponse response, client->Call(request, deadline));
  std::vector<std::string> known;
  for (const auto& component : response.status().components()) {
    known.push_back(component.name());
    if (component.name() != name) {
      continue;
    }
    auto port = component.ports().find("http");
    if (port == component.ports().end()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat(name, " has no HTTP port"),
                       {.reason = "NO_HTTP_PORT", .subject = name});
    }
    Page page{.port = port->second, .authorization = ""};
    if (component.kind() == "multiadmin") {
      // There is no such file where the Admin API asks for no token.
      absl::StatusOr<std::string> token =
          ReadFile(absl::StrCat(response.status().root_directory(), "/", admin_token::kAgentTokenFile));
      if (token.ok()) {
        page.authorization = absl::StrCat("Bearer ", std::string(absl::StripAsciiWhitespace(*token)));
      } else if (!absl::IsNotFound(token.status())) {
        return token.status();
      }
    }
    return page;
  }
  return NoSuchName("COMPONENT_NOT_FOUND", "component", name, known);
}

absl::Status Fetch(const std::string& name, const Page& page, absl::Time deadline,
                   multigres::cli::v1::ComponentConfigOutput* output) {
  const std::string path = "/config?format=json";
  output->set_component(name);
  output->set_url(absl::StrCat("http://127.0.0.1:", page.port, path));
  std::vector<net::Exchange> exchanges = {net::HttpGet(page.port, path, page.authorization)};
  net::RunExchanges(&exchanges, deadline);
  absl::StatusOr<net::HttpReply> reply = net::ReplyOf(exchanges[0]);
  if (!reply.ok()) {
    return WithContext(reply.status(), absl::StrCat("cannot read ", output->url()));
  }
  if (reply->status != 200) {
    return absl::UnavailableError(absl::StrCat("cannot read ", output->url(), ": HTTP status ", reply->status));
  }
  google::protobuf::Struct answer;
  if (!google::protobuf::util::JsonStringToMessage(reply->body, &answer).ok()) {
    return absl::InternalError(absl::StrCat("cannot read ", output->url(), ": it is not JSON"));
  }
  auto flags = answer.fields().find("command_line_flags");
  if (flags == answer.fields().end()) {
    return absl::InternalError(absl::StrCat("cannot read ", output->url(), ": it has no flags"));
  }
  for (const auto& [flag, value] : flags->second.struct_value().fields()) {
    (*output->mutable_values())[flag] = value.string_value();
  }
  return absl::OkStatus();
}

int RunConfig(Context& context) {
  const std::string& name = context.args().positionals[0];
  multigres::cli::v1::ComponentConfigOutput output;
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Seconds(5));
  absl::StatusOr<Page> page = deadline.ok() ? FindPage(context, name, *deadline) : deadline.status();
  absl::Status status = page.ok() ? Fetch(name, *page, *deadline, &output) : page.status();
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(output, [&] {
    Table table({"NAME", "VALUE"}, 1);
    std::map<std::string, std::string> sorted(output.values().begin(), output.values().end());
    for (const auto& [flag, value] : sorted) {
      table.Add({flag, value});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

// The browser goes on by itself; its words would be in the way.
bool OpenInBrowser(const std::string& url) {
  pid_t pid = ::fork();
  if (pid == 0) {
    if (::freopen("/dev/null", "w", stdout) == nullptr || ::freopen("/dev/null", "w", stderr) == nullptr) {
      ::_exit(1);
    }
    ::execlp("xdg-open", "xdg-open", url.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int RunOpen(Context& context) {
  const std::string& name = context.args().positionals[0];
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Seconds(5));
  absl::StatusOr<Page> page = deadline.ok() ? FindPage(context, name, *deadline) : deadline.status();
  if (!page.ok()) {
    return context.Fail(page.status());
  }
  multigres::cli::v1::ComponentOpenOutput output;
  output.set_component(name);
  output.set_url(absl::StrCat("http://127.0.0.1:", page->port, "/"));
  bool desktop = !context.Env("DISPLAY").empty() || !context.Env("WAYLAND_DISPLAY").empty();
  if (desktop && context.terminal().out_is_tty && !context.args().Has("print")) {
    output.set_opened(OpenInBrowser(output.url()));
  }
  return context.Emit(output, [&] { return absl::StrCat(output.url(), "\n"); });
}

}  // namespace

std::vector<Command> ComponentPageCommands() {
  const Positional name = {.name = "NAME", .help = "a component such as multigateway/zone1", .required = true};
  return {
      {.path = "component config",
       .summary = "show the configuration that a component runs with",
       .positionals = {name},
       .examples = {{"multigres component config multipooler/zone1", "every flag and its value"}},
       .group = "TOPOLOGY",
       .run = RunConfig},
      {.path = "component open",
       .summary = "open a component's own page in a browser, or print where it is",
       .positionals = {name},
       .flags = {{.name = "print", .help = "only print the address"}},
       .examples = {{"multigres component open multigateway/zone1", "without a desktop: its address"}},
       .group = "TOPOLOGY",
       .run = RunOpen},
  };
}

}  // namespace mg::cli
