#include <algorithm>
#include <csignal>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/args/moment.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/component.h"
#include "cli/commands/context.h"
#include "cli/commands/failover.h"
#include "cli/failovers/failovers.h"
#include "cli/output/render.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "common/text/selector.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

std::string LineOf(const agent::Event& event, bool colour, size_t* width) {
  absl::Time time = rpc::ToTime(event.time());
  std::string who = event.component().empty() ? event.cluster() : event.component();
  *width = std::max(*width, who.size());
  who.append(*width - who.size(), ' ');
  double took = static_cast<double>(event.duration().seconds()) + event.duration().nanos() * 1e-9;
  bool bad = event.type() == "failover-detected" || event.type() == "failover-failed" || event.type() == "exited" ||
             event.type() == "failed" || event.type() == "crash-loop" || event.type() == "operation-failed" ||
             event.type() == "not-answering";
  std::string type = event.type();
  type.append(type.size() < 21 ? 21 - type.size() : 0, ' ');
  return absl::StrCat(
      Styled(absl::FormatTime("%Y-%m-%d %H:%M:%E3S", time, absl::LocalTimeZone()), Style::kDim, colour), " ", who, " ",
      bad ? Styled(type, Style::kRed, colour) : type, " ", event.message(),
      took > 0 ? absl::StrCat(" (", absl::FormatDuration(absl::Trunc(absl::Seconds(took), absl::Milliseconds(1))), ")")
               : "",
      "\n");
}

/// Writes events as the command line wants them. Any thread.
class EventPrinter {
 public:
  EventPrinter(const Context& context, absl::Time since) : context_(context), since_(since) {}

  void Print(const agent::Event& event) {
    const std::vector<std::string>& names = context_.args().positionals;
    if (rpc::ToTime(event.time()) < since_ ||
        (!names.empty() && std::none_of(names.begin(), names.end(), [&](const std::string& word) {
          return text::SelectsComponent(word, event.component());
        }))) {
      return;
    }
    std::lock_guard lock(mutex_);
    if (context_.format() == Format::kJson) {
      context_.Out(ToJsonLine(event));
    } else if (context_.format() == Format::kYaml) {
      context_.Out(absl::StrCat("---\n", ToYaml(event)));
    } else {
      context_.Out(LineOf(event, context_.terminal().out_colour, &width_));
    }
  }

 private:
  const Context& context_;
  const absl::Time since_;
  std::mutex mutex_;
  size_t width_ = 18;
};

/// The steps of changes of the primary, as the components log them.
void FollowFailovers(const Context& context, AgentClient* client, absl::Time since, absl::Time deadline,
                     const std::string& cluster, EventPrinter* printer) {
  agent::TailLogsRequest request = FailoverRecords(context, since);
  request.set_follow(true);
  std::vector<agent::LogRecord> records;
  size_t told = 0;
  (void)client->Stream(
      request,
      [&](const agent::TailLogsResponse& batch, const std::vector<absl::string_view>&) {
        records.insert(records.end(), batch.records().begin(), batch.records().end());
        std::vector<agent::Event> events = EventsOf(TellFailovers(records), cluster);
        for (; told < events.size(); ++told) {
          printer->Print(events[told]);
        }
        return true;
      },
      deadline);
}

int RunEvents(Context& context) {
  agent::WatchEventsRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_follow(context.args().Has("watch"));
  request.set_from_start(!context.args().Has("watch"));
  absl::Time since = absl::InfinitePast();
  if (context.args().Has("since")) {
    std::string text = context.args().Get("since");
    request.set_from_start(true);
    if (absl::StatusOr<absl::Time> moment = ParseMoment(text, "since", absl::Now(), absl::LocalTimeZone());
        moment.ok()) {
      since = *moment;
    } else {
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
  EventPrinter printer(context, since);
  if (request.follow()) {
    absl::Time begun = context.args().Has("since") ? since : absl::Now();
    std::thread failovers(
        [&] { FollowFailovers(context, *client, begun, *deadline, context.Selector().name(), &printer); });
    absl::Status status = (*client)->Stream(request, [&](const agent::WatchEventsResponse& batch) {
      for (const agent::Event& event : batch.events()) {
        printer.Print(event);
      }
      return absl::Now() < *deadline;
    });
    (*client)->Cancel();
    failovers.join();
    return status.ok() ? 0 : context.Fail(status);
  }
  std::vector<agent::Event> events;
  absl::Status status = (*client)->Stream(request, [&](const agent::WatchEventsResponse& batch) {
    events.insert(events.end(), batch.events().begin(), batch.events().end());
    return absl::Now() < *deadline;
  });
  if (!status.ok()) {
    return context.Fail(status);
  }
  absl::Time first = events.empty() ? since : std::max(since, rpc::ToTime(events.front().time()));
  absl::StatusOr<std::vector<multigres::cli::v1::FailoverOutput>> failovers =
      events.empty() ? std::vector<multigres::cli::v1::FailoverOutput>() : ReadFailovers(context, first, *deadline);
  if (!failovers.ok() && !absl::IsNotFound(failovers.status())) {
    context.Err(absl::StrCat("warning: changes of the primary are left out: ", failovers.status().message(), "\n"));
  } else if (failovers.ok()) {
    for (agent::Event& event : EventsOf(*failovers, events.empty() ? "" : events.front().cluster())) {
      auto place = std::upper_bound(events.begin(), events.end(), event, [](const auto& a, const auto& b) {
        return rpc::ToTime(a.time()) < rpc::ToTime(b.time());
      });
      if (place != events.begin()) {
        event.set_cursor(std::prev(place)->cursor());
      }
      events.insert(place, event);
    }
  }
  for (const agent::Event& event : events) {
    printer.Print(event);
  }
  return 0;
}

}  // namespace

Command EventsCommand() {
  return {
      .path = "events",
      .summary = "show what happened: starts, ends, probes, operations",
      .description =
          "Show what happened to the cluster and its components, oldest first: every start, end, restart, "
          "probe that changed its answer, adoption and operation, and every step of a change of the primary with the "
          "time since it was noticed. Events are kept on disk within a bound. "
          "With --json one event per line, each with the cursor to read on from.",
      .positionals = {{.name = "NAME", .help = "only of these components, kinds or cells", .repeated = true}},
      .flags = {{.name = "watch", .letter = 'w', .help = "go on with new events as they come"},
                {.name = "since",
                 .value = "CURSOR",
                 .help = "only events after this cursor; also a time: 10m, yesterday, 14:30, or RFC 3339"}},
      .examples = {{"multigres events --since 10m", "what happened lately"},
                   {"multigres events --watch --json", "as it happens, for a program"}},
      .aliases = {"cluster events"},
      .group = "CLUSTER",
      .run = RunEvents,
  };
}

}  // namespace mg::cli
