#include "cli/commands/component.h"

#include <string.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/failover.h"
#include "cli/output/relative.h"
#include "common/status/status.h"
#include "common/text/selector.h"
#include "common/text/text.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

constexpr absl::Duration kBound = absl::Seconds(10);

absl::StatusOr<agent::ExplainComponentResponse> Explain(Context& context, const std::string& component) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(kBound));
  agent::ExplainComponentRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_component(component);
  return client->Call(request, deadline);
}

/// A number, or a name with or without SIG.
absl::StatusOr<int> ParseSignal(const std::string& text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number > 0 && number <= SIGRTMAX) {
    return number;
  }
  std::string name = absl::AsciiStrToUpper(text);
  absl::string_view rest = name;
  (void)absl::ConsumePrefix(&rest, "SIG");
  for (number = 1; number < SIGRTMIN; ++number) {
    const char* known = sigabbrev_np(number);
    if (known != nullptr && rest == known) {
      return number;
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", text, "' is not a signal"),
                   {.reason = "USAGE", .hint = "write it as HUP, SIGUSR1 or 9"});
}

int RunSignal(Context& context) {
  absl::StatusOr<int> signal = ParseSignal(context.args().Get("signal", "TERM"));
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline = context.Deadline(kBound);
  for (const absl::Status& status : {signal.status(), client.status(), deadline.status()}) {
    if (!status.ok()) {
      return context.Fail(status);
    }
  }
  absl::StatusOr<std::vector<std::string>> names = NamedComponents(context);
  if (!names.ok()) {
    return context.Fail(names.status());
  }
  for (const std::string& name : *names) {
    WarnOfDependants(context, name, *names);
    agent::SignalComponentRequest request;
    *request.mutable_cluster() = context.Selector();
    request.set_component(name);
    request.set_signal(*signal);
    request.set_whole_tree(context.args().Has("tree"));
    absl::StatusOr<agent::SignalComponentResponse> response = (*client)->Call(request, *deadline);
    if (!response.ok()) {
      return context.Fail(response.status());
    }
    context.Emit(*response, [&] {
      return absl::StrCat("signal ", *signal, " (", strsignal(*signal), ") was sent to ", name, ", pid ",
                          response->pid(), "\n");
    });
  }
  return 0;
}

std::string WhyText(const agent::ExplainComponentResponse& why, bool colour) {
  std::string text = absl::StrCat(why.summary(), "\n");
  const auto& status = why.status();
  absl::StrAppend(&text, "\nstate     ", Styled(status.state(), StyleOfState(status.state()), colour), ", wanted ",
                  status.desired(), status.phase().empty() ? "" : absl::StrCat(", in the loop ", status.phase()), "\n");
  if (status.pid() != 0) {
    absl::StrAppend(&text, "process   pid ", status.pid(), ", ", status.restarts(), " restarts\n");
  }
  if (status.has_next_start()) {
    absl::StrAppend(&text, "next      started again ", Relative(status.next_start()), "\n");
  }
  absl::StrAppend(&text, "probe     ", why.probe(),
                  status.ready()            ? ": answers"
                  : status.pid() == 0       ? ": not asked, nothing runs"
                  : status.reason().empty() ? ""
                                            : absl::StrCat(": ", status.reason()),
                  "\n");
  absl::StrAppend(&text, "restart   ", why.restart(), "\n");
  if (!why.needs().empty()) {
    absl::StrAppend(&text, "needs     ", absl::StrJoin(why.needs(), " "), "\n");
  }
  if (!why.dependants().empty()) {
    absl::StrAppend(&text, "needed by ", absl::StrJoin(why.dependants(), " "), "\n");
  }
  const bool alone = why.chain_size() == 1 && why.chain(0).component() == status.name();  // the first line has it
  if (!why.chain().empty() && !alone) {
    absl::StrAppend(&text, "\nwhat is not ready, down to the fault\n");
    std::string indent = "  ";
    for (const agent::Cause& cause : why.chain()) {
      absl::StrAppend(&text, indent, cause.component(), "  ",
                      Styled(cause.state(), StyleOfState(cause.state()), colour),
                      cause.reason().empty() ? "" : absl::StrCat(": ", cause.reason()),
                      cause.at_fault() ? Styled("  <- the fault is here", Style::kBold, colour) : "", "\n");
      indent += "  ";
    }
  }
  if (!why.exits().empty()) {
    absl::StrAppend(&text, "\nlast ends\n");
    for (const agent::Event& exit : why.exits()) {
      double ran = static_cast<double>(exit.duration().seconds()) + exit.duration().nanos() * 1e-9;
      absl::StrAppend(
          &text, "  ", Relative(exit.time()), "  ", exit.message(),
          ran > 0
              ? absl::StrCat(" after ", absl::FormatDuration(absl::Trunc(absl::Seconds(ran), absl::Milliseconds(1))))
              : "",
          "\n");
    }
  }
  if (!why.last_lines().empty()) {
    absl::StrAppend(&text, "\nlast lines\n");
    for (const std::string& line : why.last_lines()) {
      absl::StrAppend(&text, "  ", line, "\n");
    }
  }
  return text;
}

int RunWhy(Context& context) {
  if (context.args().positionals.empty()) {
    return ShowLastFailover(context, std::nullopt);
  }
  absl::StatusOr<std::vector<std::string>> names = NamedComponents(context);
  if (!names.ok()) {
    return context.Fail(names.status());
  }
  if (names->size() != 1) {
    return context.Fail(
        MakeError(absl::StatusCode::kInvalidArgument,
                  absl::StrCat(context.args().positionals[0], " is ", names->size(), " components"),
                  {.reason = "USAGE", .hint = absl::StrCat("name one of them: ", absl::StrJoin(*names, ", "))}));
  }
  absl::StatusOr<agent::ExplainComponentResponse> why = Explain(context, names->front());
  if (!why.ok()) {
    return context.Fail(why.status());
  }
  return context.Emit(*why, [&] { return WhyText(*why, context.terminal().out_colour); });
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SelectComponents(const multigres::provisioner::v1::ClusterStatus& status,
                                                          const std::vector<std::string>& words) {
  std::set<std::string> wanted, known;
  for (const auto& component : status.components()) {
    std::vector<std::string> parts = absl::StrSplit(component.name(), '/');
    known.insert(component.name());
    known.insert(parts.begin(), parts.end());
    for (const std::string& word : words) {
      if (text::SelectsComponent(word, component.name())) {
        wanted.insert(component.name());
      }
    }
  }
  for (const std::string& word : words) {
    if (!known.contains(word)) {
      std::optional<std::string> near = text::Closest(word, {known.begin(), known.end()});
      return MakeError(absl::StatusCode::kNotFound,
                       absl::StrCat("cluster ", status.cluster(), " has no component ", word),
                       {.reason = "COMPONENT_NOT_FOUND",
                        .hint = near ? absl::StrCat("did you mean '", *near, "'?") : "'multigres status' lists them",
                        .subject = word});
    }
  }
  std::vector<std::string> names;
  for (const auto& component : status.components()) {
    if (wanted.contains(component.name())) {
      names.push_back(component.name());
    }
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> NamedComponents(Context& context) {
  const std::vector<std::string>& words = context.args().positionals;
  if (words.size() == 1 && absl::StrContains(words[0], '/')) {
    return words;  // the agent itself says whether there is such a component
  }
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(kBound));
  agent::GetClusterRequest request;
  *request.mutable_cluster() = context.Selector();
  MG_ASSIGN_OR_RETURN(agent::GetClusterResponse cluster, client->Call(request, deadline));
  return SelectComponents(cluster.status(), words);
}

void WarnOfDependants(Context& context, const std::string& component, const std::vector<std::string>& also) {
  if (context.args().Has("quiet")) {
    return;
  }
  absl::StatusOr<agent::ExplainComponentResponse> why = Explain(context, component);
  std::vector<std::string> others;
  if (why.ok()) {
    std::copy_if(why->dependants().begin(), why->dependants().end(), std::back_inserter(others),
                 [&](const std::string& name) { return std::find(also.begin(), also.end(), name) == also.end(); });
  }
  if (!others.empty()) {
    context.Err(absl::StrCat("warning: ", component, " is needed by ", absl::StrJoin(others, ", "), "\n"));
  }
}

Command SignalCommand() {
  return {
      .path = "cluster signal",
      .summary = "send a signal to single components",
      .description =
          "Send a signal to the process of each component, by the shim that owns it. What ends is started "
          "again where its restart policy says so.",
      .positionals = {{.name = "NAME",
                       .help = "components such as multipooler/zone1, a kind, or a cell",
                       .required = true,
                       .repeated = true}},
      .flags = {{.name = "signal", .letter = 's', .value = "SIGNAL", .help = "name or number; TERM when not given"},
                {.name = "tree", .help = "to every process of the component"}},
      .examples = {{"multigres cluster signal postgres/zone1 --signal HUP", "let one PostgreSQL read its files again"}},
      .group = "CLUSTER",
      .run = RunSignal,
  };
}

Command WhyCommand() {
  return {
      .path = "why",
      .summary = "say why a component is as it is",
      .description =
          "Say why a component is as it is: what it needs and which of that is at fault, what its probe "
          "says, how it ended lately, when it is started again, and its last lines. Without a name: what the last "
          "change of the primary was about, as 'multigres shard why' tells it, and in its shape.",
      .positionals = {{.name = "NAME", .help = "a component such as multipooler/zone1; nothing: the last failover"}},
      .examples = {{"multigres why multigateway/zone1", "why this gateway does not serve"},
                   {"multigres why", "what the last failover did"}},
      .aliases = {"cluster why"},
      .group = "CLUSTER",
      .run = RunWhy,
  };
}

}  // namespace mg::cli
