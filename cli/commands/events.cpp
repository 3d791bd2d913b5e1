#include <algorithm>
#include <csignal>
#include <iterator>
#include <mutex>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/args/moment.h"
#include "cli/client/agent_client.h"
#include "cli/commands/alarm.h"
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

constexpr absl::Duration kLongestFailover = absl::Minutes(2);

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

  bool Wants(const agent::Event& event) const {
    const std::vector<std::string>& names = context_.args().positionals;
    return rpc::ToTime(event.time()) >= since_ &&
           (names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& word) {
              return text::SelectsComponent(word, event.component());
            }));
  }

  void Print(const agent::Event& event) {
    if (!Wants(event)) {
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

/// The steps of changes of the primary, as the components log them: of those that began after `since` what comes after
/// `shown`.
void FollowFailovers(const Context& context, AgentClient* client, absl::Time since, absl::Time shown,
                     absl::Time deadline, const std::string& cluster, EventPrinter* printer) {
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
          if (rpc::ToTime(events[told].time()) > shown) {
            printer->Print(events[told]);
          }
        }
        return true;
      },
      deadline);
}

/// What has happened and is kept, oldest first, the steps of changes of the primary among it.
absl::StatusOr<std::vector<agent::Event>> ReadPast(Context& context, AgentClient* client,
                                                   agent::WatchEventsRequest request, absl::Time since,
                                                   absl::Time deadline) {
  request.set_follow(false);
  std::vector<agent::Event> events;
  MG_RETURN_IF_ERROR(client->Stream(request, [&](const agent::WatchEventsResponse& batch) {
    events.insert(events.end(), batch.events().begin(), batch.events().end());
    return absl::Now() < deadline;
  }));
  absl::Time first = events.empty() ? since : std::max(since, rpc::ToTime(events.front().time()));
  absl::StatusOr<std::vector<multigres::cli::v1::FailoverOutput>> failovers =
      events.empty() ? std::vector<multigres::cli::v1::FailoverOutput>() : ReadFailovers(context, first, deadline);
  if (!failovers.ok() && !absl::IsNotFound(failovers.status())) {
    context.Err(absl::StrCat(
        "warning: changes of the primary are left out: ",
        absl::IsDeadlineExceeded(failovers.status()) ? "the logs were not read in time" : failovers.status().message(),
        "\n"));
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
  return events;
}

/// -1: all.
absl::StatusOr<int> TailOf(const Arguments& args) {
  const std::string tail = args.Get("tail", "all");
  int count = -1;
  if (tail != "all" && (!absl::SimpleAtoi(tail, &count) || count < 0)) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("--tail: '", tail, "' is not a number of events"),
                     {.reason = "USAGE", .hint = "use a number, or all"});
  }
  return count;
}

int RunEvents(Context& context) {
  agent::WatchEventsRequest request;
  *request.mutable_cluster() = context.Selector();
  const bool watch = context.args().Has("watch"), tailed = context.args().Has("tail");
  request.set_follow(watch);
  request.set_from_start(!watch || tailed);
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
  absl::StatusOr<int> tail = TailOf(context.args());
  absl::StatusOr<AgentClient*> client = tail.ok() ? context.Agent(/*start=*/true) : tail.status();
  absl::StatusOr<absl::Time> deadline =
      context.Deadline(request.follow() ? absl::InfiniteDuration() : absl::Duration(absl::Minutes(1)));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  ::signal(SIGPIPE, SIG_DFL);
  EventPrinter printer(context, since);
  absl::Time shown = absl::InfinitePast();
  if (!watch || tailed) {
    absl::StatusOr<std::vector<agent::Event>> events = ReadPast(context, *client, request, since, *deadline);
    if (!events.ok()) {
      return context.Fail(events.status());
    }
    if (!events->empty()) {
      request.set_cursor(events->back().cursor());
      shown = rpc::ToTime(events->back().time());
    }
    std::vector<agent::Event> wanted;
    std::copy_if(events->begin(), events->end(), std::back_inserter(wanted),
                 [&](const agent::Event& event) { return printer.Wants(event); });
    const size_t count = *tail < 0 ? wanted.size() : std::min(wanted.size(), static_cast<size_t>(*tail));
    for (size_t i = wanted.size() - count; i < wanted.size(); ++i) {
      printer.Print(wanted[i]);
    }
    if (!watch) {
      return 0;
    }
  }
  // A change of the primary may be under way, and is told as a whole: its first steps were shown before.
  absl::Time begun = tailed ? absl::Now() - kLongestFailover : context.args().Has("since") ? since : absl::Now();
  std::thread failovers(
      [&] { FollowFailovers(context, *client, begun, shown, *deadline, context.Selector().name(), &printer); });
  absl::Status status;
  bool timed_out = false;
  {
    Alarm alarm(*client, *deadline);
    status = (*client)->Stream(request, [&](const agent::WatchEventsResponse& batch) {
      for (const agent::Event& event : batch.events()) {
        printer.Print(event);
      }
      return true;
    });
    timed_out = alarm.rang();
  }
  (*client)->Cancel();
  failovers.join();
  return status.ok() || timed_out ? 0 : context.Fail(status);
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
                {.name = "tail", .letter = 'n', .value = "N", .help = "only the last N events, or all"},
                {.name = "since",
                 .value = "CURSOR",
                 .help = "only events after this cursor; also a time: 10m, yesterday, 14:30, or RFC 3339"}},
      .examples = {{"multigres events --since 10m", "what happened lately"},
                   {"multigres events zone2 --tail 5", "the last of one cell"},
                   {"multigres events --watch --json", "as it happens, for a program"}},
      .aliases = {"cluster events"},
      .group = "CLUSTER",
      .run = RunEvents,
  };
}

}  // namespace mg::cli
