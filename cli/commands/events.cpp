#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/component.h"
#include "cli/commands/context.h"
#include "cli/output/render.h"
#include "common/status/status.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

std::string LineOf(const agent::Event& event, bool colour, size_t* width) {
  absl::Time time = absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  std::string who = event.component().empty() ? event.cluster() : event.component();
  *width = std::max(*width, who.size());
  who.append(*width - who.size(), ' ');
  double took = static_cast<double>(event.duration().seconds()) + event.duration().nanos() * 1e-9;
  bool bad = event.type() == "exited" || event.type() == "failed" || event.type() == "crash-loop" ||
             event.type() == "operation-failed" || event.type() == "not-answering";
  std::string type = event.type();
  type.append(type.size() < 17 ? 17 - type.size() : 0, ' ');
  return absl::StrCat(
      Styled(absl::FormatTime("%Y-%m-%d %H:%M:%E3S", time, absl::LocalTimeZone()), Style::kDim, colour), " ", who, " ",
      bad ? Styled(type, Style::kRed, colour) : type, " ", event.message(),
      took > 0 ? absl::StrCat(" (", absl::FormatDuration(absl::Trunc(absl::Seconds(took), absl::Milliseconds(1))), ")")
               : "",
      "\n");
}

int RunEvents(Context& context) {
  agent::WatchEventsRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_follow(context.args().Has("watch"));
  request.set_from_start(!context.args().Has("watch"));
  absl::Time since = absl::InfinitePast();
  if (context.args().Has("since")) {
    std::string text = context.args().Get("since");
    absl::Duration ago;
    std::string error;
    request.set_from_start(true);
    if (absl::ParseDuration(text, &ago)) {
      since = absl::Now() - ago;
    } else if (!absl::ParseTime(absl::RFC3339_full, text, &since, &error)) {
      since = absl::InfinitePast();
      request.set_cursor(text);
    }
  }
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline =
      context.Deadline(request.follow() ? absl::InfiniteDuration() : absl::Duration(absl::Minutes(1)));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  ::signal(SIGPIPE, SIG_DFL);
  size_t width = 18;
  const std::vector<std::string>& names = context.args().positionals;
  absl::Status status = (*client)->Stream(request, [&](const agent::WatchEventsResponse& batch) {
    std::string out;
    for (const agent::Event& event : batch.events()) {
      absl::Time time = absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
      if (time < since || (!names.empty() && std::none_of(names.begin(), names.end(), [&](const std::string& word) {
            return Names(word, event.component());
          }))) {
        continue;
      }
      if (context.format() == Format::kJson) {
        absl::StrAppend(&out, ToJsonLine(event));
      } else if (context.format() == Format::kYaml) {
        absl::StrAppend(&out, "---\n", ToYaml(event));
      } else {
        absl::StrAppend(&out, LineOf(event, context.terminal().out_colour, &width));
      }
    }
    context.Out(out);
    return absl::Now() < *deadline;
  });
  return status.ok() ? 0 : context.Fail(status);
}

}  // namespace

Command EventsCommand() {
  return {
      .path = "events",
      .summary = "show what happened: starts, ends, probes, operations",
      .description =
          "Show what happened to the cluster and its components, oldest first: every start, end, restart, "
          "probe that changed its answer, adoption and operation. Events are kept on disk within a bound. "
          "With --json one event per line, each with the cursor to read on from.",
      .positionals = {{.name = "NAME", .help = "only of these components, kinds or cells", .repeated = true}},
      .flags = {{.name = "watch", .letter = 'w', .help = "go on with new events as they come"},
                {.name = "since",
                 .value = "CURSOR",
                 .help = "only events after this cursor; also a duration (10m) or an RFC 3339 time"}},
      .examples = {{"multigres events --since 10m", "what happened lately"},
                   {"multigres events --watch --json", "as it happens, for a program"}},
      .aliases = {"cluster events"},
      .group = "CLUSTER",
      .run = RunEvents,
  };
}

}  // namespace mg::cli
