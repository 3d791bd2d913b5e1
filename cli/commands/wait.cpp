#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/alarm.h"
#include "cli/commands/commands.h"
#include "cli/commands/component.h"
#include "cli/commands/context.h"
#include "common/status/status.h"
#include "common/text/suggest.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;
namespace v1 = multigres::provisioner::v1;

namespace {

/// What of the names is not yet as wanted, for people; empty: all is.
std::vector<std::string> Missing(const v1::ClusterStatus& status, const std::string& wanted,
                                 const std::vector<std::string>& names) {
  std::map<std::string, const v1::ComponentStatus*> components;
  for (const v1::ComponentStatus& component : status.components()) {
    components[component.name()] = &component;
  }
  std::vector<std::string> missing;
  // One shard has one primary: the other poolers never become what is waited for.
  if (wanted == "primary" && std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return components.contains(name) && components[name]->ready() && components[name]->role() == "primary";
      })) {
    return {};
  }
  for (const std::string& name : names) {
    const v1::ComponentStatus* component = components.contains(name) ? components[name] : nullptr;
    bool there = component != nullptr;
    bool reached = wanted == "ready"     ? there && component->ready()
                   : wanted == "primary" ? there && component->ready() && component->role() == "primary"
                   : wanted == "stopped" ? there && component->pid() == 0 && component->desired() == "stopped"
                                         : !there || component->pid() == 0;
    if (!reached) {
      missing.push_back(
          absl::StrCat(name, there ? " is " : " does not exist", there ? component->state() : "",
                       there && !component->reason().empty() ? absl::StrCat(" (", component->reason(), ")") : ""));
    }
  }
  return missing;
}

/// Without names: the whole cluster.
std::vector<std::string> NamesOf(const v1::ClusterStatus& status, const std::string& wanted,
                                 const std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const std::string& word : given) {
    // One that is no kind and no cell is a component: one that is not there may be waited for, as gone.
    absl::StatusOr<std::vector<std::string>> found = SelectComponents(status, {word});
    found.ok() ? void(names.insert(names.end(), found->begin(), found->end())) : names.push_back(word);
  }
  if (!given.empty()) {
    return names;
  }
  // What was stopped by name does not count, unless all is: then the cluster is stopped, or about to be.
  bool runs = std::any_of(status.components().begin(), status.components().end(),
                          [](const v1::ComponentStatus& component) { return component.desired() == "running"; });
  for (const v1::ComponentStatus& component : status.components()) {
    bool counts = wanted == "ready"     ? component.desired() == "running" || !runs
                  : wanted == "primary" ? component.name().starts_with("multipooler/")
                                        : true;
    if (counts) {
      names.push_back(component.name());
    }
  }
  return names;
}

int RunWait(Context& context) {
  std::string wanted = context.args().Get("for", "ready");
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline = context.Deadline(absl::Minutes(2));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  absl::Time began = absl::Now();
  agent::WatchStateRequest request;
  *request.mutable_cluster() = context.Selector();
  v1::ClusterStatus status;
  std::vector<std::string> missing = {"the cluster's state is not known"};
  bool reached = false, unknown = false;
  absl::Status ended;
  bool timed_out = false;
  {
    Alarm alarm(*client, *deadline);
    ended = (*client)->Stream(request, [&](const agent::WatchStateResponse& change) {
      if (change.has_snapshot()) {
        status = change.snapshot();
      } else {
        for (v1::ComponentStatus& component : *status.mutable_components()) {
          if (component.name() == change.component().name()) {
            component = change.component();
          }
        }
      }
      std::vector<std::string> names = NamesOf(status, wanted, context.args().positionals);
      missing = Missing(status, wanted, names);
      reached = missing.empty();
      // A name that does not exist will not come into being by waiting.
      unknown = std::any_of(missing.begin(), missing.end(),
                            [](const std::string& text) { return text.ends_with(" does not exist"); });
      return !reached && !unknown;
    });
    timed_out = alarm.rang();
  }
  if (absl::IsNotFound(ended) && wanted == "gone") {
    reached = true;  // so is the cluster
  } else if (unknown) {
    std::vector<std::string> known;
    for (const v1::ComponentStatus& component : status.components()) {
      known.push_back(component.name());
    }
    const auto& asked = context.args().positionals;
    auto wrong = std::find_if(asked.begin(), asked.end(), [&](const std::string& name) {
      return std::find(known.begin(), known.end(), name) == known.end();
    });
    return context.Fail(MakeError(
        absl::StatusCode::kNotFound, absl::StrJoin(missing, "; "),
        {.reason = "COMPONENT_NOT_FOUND",
         .hint = text::DidYouMean(wrong == asked.end() ? "" : *wrong, known, "'multigres status' lists them")}));
  } else if (!reached && timed_out) {
    return context.Fail(MakeError(absl::StatusCode::kDeadlineExceeded,
                                  absl::StrCat("not ", wanted, " in time: ", absl::StrJoin(missing, "; ")),
                                  {.reason = "TIMEOUT", .hint = "'multigres why NAME' says why"}));
  } else if (!reached) {
    return context.Fail(ended.ok() ? absl::UnavailableError("the agent ended") : ended);
  }
  multigres::cli::v1::WaitOutput output;
  output.set_condition(wanted);
  for (const std::string& name : context.args().positionals) {
    output.add_names(name);
  }
  output.set_elapsed_seconds(absl::ToDoubleSeconds(absl::Now() - began));
  return context.Emit(output, [&] {
    return absl::StrCat(context.args().positionals.empty() ? absl::StrCat("cluster ", status.cluster())
                                                           : absl::StrJoin(context.args().positionals, ", "),
                        ": ", wanted, "\n");
  });
}

}  // namespace

Command WaitCommand() {
  return {
      .path = "wait",
      .summary = "wait until components, or the whole cluster, are as wanted",
      .description =
          "Wait until all named components (without names: all) are as wanted. `stopped`: stopped on purpose; "
          "`gone`: no process, for whatever reason; `primary`: ready, and the one that takes writes. Exit status 4 "
          "when that is not so within --timeout (2m).",
      .positionals = {{.name = "NAME",
                       .help = "components such as multipooler/zone1, a kind, or a cell",
                       .repeated = true}},
      .flags = {{.name = "for",
                 .value = "WHAT",
                 .help = "what to wait for; ready when not given",
                 .choices = {"ready", "stopped", "primary", "gone"}}},
      .examples = {{"multigres wait --for ready --timeout 30s", "until everything answers"},
                   {"multigres wait --for primary multipooler/zone2", "until this one leads"}},
      .aliases = {"cluster wait"},
      .group = "CLUSTER",
      .run = RunWait,
  };
}

}  // namespace mg::cli
