#include <algorithm>
#include <csignal>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/render.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

/// A duration before now, or an RFC 3339 time.
absl::StatusOr<absl::Time> ParseMoment(const std::string& text, const std::string& flag) {
  absl::Duration ago;
  if (absl::ParseDuration(text, &ago)) {
    return absl::Now() - ago;
  }
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return time;
  }
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("--", flag, ": '", text, "' is neither a duration nor a time"),
                   {.reason = "USAGE", .hint = "write 10m, 1h30m or 2026-01-31T12:00:00Z"});
}

void SetTimestamp(google::protobuf::Timestamp* out, absl::Time time) {
  std::int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::StatusOr<agent::TailLogsRequest> RequestOf(const Context& context) {
  agent::TailLogsRequest request;
  *request.mutable_cluster() = context.Selector();
  for (const std::string& name : context.args().positionals) {
    if (name != "cluster" && name != "all") {
      request.add_selectors(name);
    }
  }
  request.set_follow(context.args().Has("watch") || context.args().Has("follow"));
  if (context.args().Has("tail")) {
    std::string text = context.args().Get("tail");
    int tail = 0;
    if (text != "all" && (!absl::SimpleAtoi(text, &tail) || tail < 0)) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("--tail: '", text, "' is not a number of lines"),
                       {.reason = "USAGE", .hint = "use a number, or all"});
    }
    if (text != "all") {
      request.set_tail(tail);
    }
  } else if (request.follow() && !context.args().Has("since")) {
    request.set_tail(20);
  }
  if (context.args().Has("since")) {
    MG_ASSIGN_OR_RETURN(absl::Time since, ParseMoment(context.args().Get("since"), "since"));
    SetTimestamp(request.mutable_since(), since);
  }
  if (context.args().Has("until")) {
    MG_ASSIGN_OR_RETURN(absl::Time until, ParseMoment(context.args().Get("until"), "until"));
    SetTimestamp(request.mutable_until(), until);
  }
  request.set_grep(context.args().Get("grep"));
  request.set_level(context.args().Get("level"));
  return request;
}

Style StyleOfComponent(const std::string& name) {
  static constexpr Style kStyles[] = {Style::kCyan, Style::kGreen, Style::kYellow, Style::kBold};
  size_t sum = 0;
  for (char c : name) {
    sum = sum * 31 + static_cast<unsigned char>(c);
  }
  return kStyles[sum % std::size(kStyles)];
}

std::string LineOf(const agent::LogRecord& record, bool colour, size_t* name_width) {
  absl::Time time = absl::FromUnixSeconds(record.time().seconds()) + absl::Nanoseconds(record.time().nanos());
  *name_width = std::max(*name_width, record.component().size());
  std::string name = record.component();
  name.append(*name_width - name.size(), ' ');
  std::string text = record.text();
  if (colour && (record.level() == "error" || record.level() == "warn")) {
    text = Styled(text, record.level() == "error" ? Style::kRed : Style::kYellow, true);
  }
  return absl::StrCat(Styled(absl::FormatTime("%H:%M:%E3S", time, absl::LocalTimeZone()), Style::kDim, colour), " ",
                      Styled(name, StyleOfComponent(record.component()), colour), " ", text, "\n");
}

int RunLogs(Context& context) {
  absl::StatusOr<agent::TailLogsRequest> request = RequestOf(context);
  if (!request.ok()) {
    return context.Fail(request.status());
  }
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::StatusOr<absl::Time> deadline =
      context.Deadline(request->follow() ? absl::InfiniteDuration() : absl::Duration(absl::Minutes(5)));
  if (!client.ok() || !deadline.ok()) {
    return context.Fail(client.ok() ? deadline.status() : client.status());
  }
  // A closed pipe (… | head) ends us quietly, as every filter.
  ::signal(SIGPIPE, SIG_DFL);
  size_t name_width = 16;
  absl::Status status = (*client)->Stream(*request, [&](const agent::TailLogsResponse& batch) {
    std::string out;
    if (batch.dropped() > 0) {
      context.Err(absl::StrCat("(", batch.dropped(), " records left out: this reader was too slow)\n"));
    }
    for (const agent::LogRecord& record : batch.records()) {
      if (context.format() == Format::kJson) {
        absl::StrAppend(&out, ToJsonLine(record));
      } else if (context.format() == Format::kYaml) {
        absl::StrAppend(&out, "---\n", ToYaml(record));
      } else {
        absl::StrAppend(&out, LineOf(record, context.terminal().out_colour, &name_width));
      }
    }
    context.Out(absl::StrCat(out, batch.text()));
    return absl::Now() < *deadline;
  });
  bool bounded_follow =
      request->follow() && context.args().Has("timeout") && status.code() == absl::StatusCode::kDeadlineExceeded;
  return status.ok() || bounded_follow ? 0 : context.Fail(status);
}

}  // namespace

Command LogsCommand() {
  return {
      .path = "logs",
      .summary = "show the components' logs, merged by time",
      .description =
          "Show log lines of the whole cluster, of a kind of component, or of single ones, merged by time. With --json "
          "one "
          "record per line.",
      .positionals = {{.name = "NAME",
                       .help = "`cluster` for all, a kind (multipooler) or a component (multipooler/zone1)",
                       .repeated = true}},
      .flags = {{.name = "watch", .letter = 'w', .help = "go on with new lines, over restarts and rotation"},
                {.name = "follow", .letter = 'f', .help = "the same as --watch"},
                {.name = "tail", .letter = 'n', .value = "N", .help = "only the last N lines, or all"},
                {.name = "since",
                 .value = "WHEN",
                 .help = "only lines since then: a duration (10m) or an RFC 3339 time"},
                {.name = "until", .value = "WHEN", .help = "only lines before then"},
                {.name = "grep", .value = "REGEX", .help = "only lines that match (RE2)"},
                {.name = "level",
                 .value = "LEVEL",
                 .help = "only lines of this level and above",
                 .choices = {"debug", "info", "warn", "error"}}},
      .examples = {{"multigres logs multipooler --watch", "all poolers, as it happens"},
                   {"multigres logs postgres/zone1 --since 10m --level warn", "what went wrong lately"},
                   {"multigres logs --tail 100 --json", "the last 100 records, for a program"}},
      .aliases = {"cluster logs"},
      .group = "CLUSTER",
      .run = RunLogs,
  };
}

}  // namespace mg::cli
