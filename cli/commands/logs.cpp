#include <malloc.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/clock.h"
#include "cli/args/moment.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/next_agent.h"
#include "cli/output/render.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

constexpr int kFollowedTail = 20;
constexpr int kKeptMemory = 32 << 20;
/// An agent that dies as often as this, without a record in between, has a trouble of its own.
constexpr int kMostReconnects = 5;

void SetTimestamp(google::protobuf::Timestamp* out, absl::Time time) {
  std::int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::TimeZone ZoneOf(const Context& context) {
  return context.args().Has("utc") ? absl::UTCTimeZone() : absl::LocalTimeZone();
}

/// Text without colour is made by the agent, several times as fast.
bool WantsText(const Context& context) { return context.format() == Format::kText && !context.terminal().out_colour; }

absl::Status SetRange(const Context& context, agent::TailLogsRequest* request) {
  const Arguments& args = context.args();
  absl::Time now = absl::Now(), since = absl::InfinitePast();
  if (args.Has("since")) {
    MG_ASSIGN_OR_RETURN(since, ParseMoment(args.Get("since"), "since", now, ZoneOf(context)));
    SetTimestamp(request->mutable_since(), since);
  }
  if (args.Has("until")) {
    MG_ASSIGN_OR_RETURN(absl::Time until, ParseMoment(args.Get("until"), "until", now, ZoneOf(context)));
    if (until <= since) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("--until ", args.Get("until"), " is not after --since ", args.Get("since")),
                       {.reason = "USAGE", .hint = "exchange them: 10m is ten minutes before now"});
    }
    SetTimestamp(request->mutable_until(), until);
  }
  if (args.Has("patience")) {
    absl::Duration patience;
    if (!absl::ParseDuration(args.Get("patience"), &patience) || patience <= absl::ZeroDuration() ||
        patience > absl::Hours(24 * 365)) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("--patience: '", args.Get("patience"), "' is not a duration"),
                       {.reason = "USAGE", .hint = "use for example 30s or 10m"});
    }
    request->mutable_patience()->set_seconds(absl::ToInt64Seconds(patience));
    request->mutable_patience()->set_nanos(
        static_cast<std::int32_t>(absl::ToInt64Nanoseconds(patience % absl::Seconds(1))));
  }
  std::string tail = args.Get("tail", "all");
  int lines = 0;
  if (tail != "all" && (!absl::SimpleAtoi(tail, &lines) || lines < 0)) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("--tail: '", tail, "' is not a number of lines"),
                     {.reason = "USAGE", .hint = "use a number, or all"});
  }
  if (tail != "all") {
    request->set_tail(lines);
  } else if (request->follow() && !args.Has("tail") && !args.Has("since") && !args.Has("cursor")) {
    request->set_tail(kFollowedTail);
  }
  return absl::OkStatus();
}

absl::StatusOr<agent::TailLogsRequest> RequestOf(const Context& context) {
  const Arguments& args = context.args();
  agent::TailLogsRequest request;
  *request.mutable_cluster() = context.Selector();
  for (const std::string& name : args.positionals) {
    if (name != "cluster" && name != "all") {
      request.add_selectors(name);
    }
  }
  request.set_follow(args.Has("watch") || args.Has("follow"));
  if (request.follow() && args.Has("previous")) {
    return MakeError(absl::StatusCode::kInvalidArgument, "--previous and --watch exclude each other",
                     {.reason = "USAGE", .hint = "a run that is over writes nothing more"});
  }
  if (args.Has("cursor") && args.Has("tail")) {
    return MakeError(absl::StatusCode::kInvalidArgument, "--cursor and --tail exclude each other",
                     {.reason = "USAGE", .hint = "a cursor says by itself where to begin"});
  }
  MG_RETURN_IF_ERROR(SetRange(context, &request));
  request.set_grep(args.Get("grep"));
  request.set_level(args.Get("level"));
  request.set_stream(args.Has("stream") ? absl::StrCat("std", args.Get("stream")) : "");
  request.set_previous(args.Has("previous"));
  request.set_cursor(args.Get("cursor"));
  request.set_structured(context.format() != Format::kText);
  request.set_text(WantsText(context));
  if (request.text()) {
    request.set_prefix(args.Has("no-prefix") ? agent::TEXT_PREFIX_NONE
                       : args.Has("utc")     ? agent::TEXT_PREFIX_UTC
                                             : agent::TEXT_PREFIX_LOCAL);
    request.set_time_zone(absl::LocalTimeZone().name());
  }
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

/// Writes batches as the command line wants them.
class Printer {
 public:
  explicit Printer(const Context& context)
      : context_(context), zone_(ZoneOf(context)), today_(absl::ToCivilDay(absl::Now(), zone_)) {}

  void Print(const agent::TailLogsResponse& batch, const std::vector<absl::string_view>& text) {
    std::string out;
    if (batch.dropped() != 0) {
      Append(Dropped(batch), &out);
    }
    for (const agent::LogRecord& record : batch.records()) {
      Append(record, &out);
    }
    if (!out.empty()) {
      context_.Out(out);
    }
    if (!text.empty()) {
      context_.Out(text);
    }
  }

 private:
  /// What this reader missed, as a record among the others.
  static agent::LogRecord Dropped(const agent::TailLogsResponse& batch) {
    agent::LogRecord record;
    SetTimestamp(record.mutable_time(), absl::Now());
    record.set_component("multigres");
    record.set_stream("stderr");
    record.set_level("warn");
    record.set_text(batch.dropped() > 0
                        ? absl::StrCat(batch.dropped(), " records are left out here: this reader was too slow")
                        : "records are left out here: their files were removed before this reader came to them");
    record.set_message(record.text());
    (*record.mutable_fields()->mutable_fields())["dropped"].set_number_value(static_cast<double>(batch.dropped()));
    record.set_cursor(batch.cursor());
    return record;
  }

  void Append(const agent::LogRecord& record, std::string* out) {
    switch (context_.format()) {
      case Format::kJson:
        absl::StrAppend(out, ToJsonLine(record));
        return;
      case Format::kYaml:
        absl::StrAppend(out, "---\n", ToYaml(record));
        return;
      case Format::kText:
        break;
    }
    bool colour = context_.terminal().out_colour;
    if (!context_.args().Has("no-prefix")) {
      absl::Time time = rpc::ToTime(record.time());
      name_width_ = std::max(name_width_, record.component().size());
      std::string name = record.component();
      name.append(name_width_ - name.size(), ' ');
      const char* format = context_.args().Has("utc")                ? "%Y-%m-%dT%H:%M:%E6SZ"
                           : absl::ToCivilDay(time, zone_) != today_ ? "%Y-%m-%d %H:%M:%E3S"
                                                                     : "%H:%M:%E3S";
      absl::StrAppend(out, Styled(absl::FormatTime(format, time, zone_), Style::kDim, colour), " ",
                      Styled(name, StyleOfComponent(record.component()), colour), " ");
    }
    Style style = record.level() == "error" ? Style::kRed : record.level() == "warn" ? Style::kYellow : Style::kDim;
    bool styled = colour && (style != Style::kDim || record.level() == "debug");
    absl::StrAppend(out, Styled(record.text(), style, styled), "\n");
  }

  const Context& context_;
  const absl::TimeZone zone_;
  const absl::CivilDay today_;
  size_t name_width_ = 16;
};

int RunLogs(Context& context) {
  absl::StatusOr<agent::TailLogsRequest> request = RequestOf(context);
  if (!request.ok()) {
    return context.Fail(request.status());
  }
  absl::StatusOr<absl::Time> deadline =
      context.Deadline(request->follow() ? absl::InfiniteDuration() : absl::Duration(absl::Minutes(5)));
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  // What gRPC reads into is used again and again: not to be given back, and got anew and zeroed, each time.
  ::mallopt(M_TRIM_THRESHOLD, kKeptMemory);
  ::mallopt(M_MMAP_THRESHOLD, kKeptMemory);
  // A closed pipe (… | head) ends us quietly, as every filter.
  ::signal(SIGPIPE, SIG_DFL);
  Printer printer(context);
  absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/true);
  absl::Status status = client.status();
  for (int attempt = 1; status.ok(); ++attempt) {
    absl::Status ended = (*client)->Stream(
        *request,
        [&](const agent::TailLogsResponse& batch, const std::vector<absl::string_view>& text) {
          printer.Print(batch, text);
          if (!batch.cursor().empty()) {
            // Only a batch that came whole is behind us.
            request->set_cursor(batch.cursor());
            request->clear_tail();
            attempt = 0;
          }
          return context.OutputStatus().ok();
        },
        *deadline);
    if (!AgentIsGone(ended) || attempt == kMostReconnects) {
      status = ended;
      break;
    }
    status = NextAgent(context, ended);
    client = context.Agent(/*start=*/false);
  }
  bool bounded_follow = request->follow() && absl::IsDeadlineExceeded(status);
  return status.ok() || bounded_follow ? 0 : context.Fail(status);
}

}  // namespace

Command LogsCommand() {
  return {
      .path = "logs",
      .summary = "show the components' logs, merged by time",
      .description =
          "Show log lines of the whole cluster, of kinds of components, of cells or of single ones, merged by time. "
          "Following goes on over restarts of components and of the agent without a gap or a repeat. With --json one "
          "object a line: time, component, stream, level, text, and message and fields as far as the line is JSON or "
          "PostgreSQL's, and the cursor behind it. WHEN is a time before now (10m, 2d), today, yesterday, 14:30, a "
          "day, a day and a time, or RFC 3339.",
      .positionals = {{.name = "NAME",
                       .help = "`cluster` for all, a kind (multipooler), a cell (zone1) or a component "
                               "(multipooler/zone1); `audit` is who called the Admin API for what",
                       .repeated = true}},
      .flags = {{.name = "watch", .letter = 'w', .help = "go on with new lines, over restarts and rotation"},
                {.name = "follow", .letter = 'f', .help = "the same as --watch"},
                {.name = "tail", .letter = 'n', .value = "N", .help = "only the last N lines, or all"},
                {.name = "since", .value = "WHEN", .help = "only lines since then"},
                {.name = "until", .value = "WHEN", .help = "only lines before then"},
                {.name = "grep", .value = "REGEX", .help = "only lines that match (RE2)"},
                {.name = "level",
                 .value = "LEVEL",
                 .help = "only lines of this level and above, and those that have none",
                 .choices = {"debug", "info", "warn", "error"}},
                {.name = "stream", .value = "STREAM", .help = "only this stream", .choices = {"out", "err"}},
                {.name = "previous", .help = "only the run of each component before its present or last one"},
                {.name = "cursor", .value = "CURSOR", .help = "go on behind a record, by the cursor that --json gave"},
                {.name = "patience",
                 .value = "TIME",
                 .help = "how long a stuck reader misses nothing; 1m unless given"},
                {.name = "utc", .help = "full times in UTC; WHEN is in UTC, too"},
                {.name = "no-prefix", .help = "the lines alone, without time and component"}},
      .examples = {{"multigres logs multipooler --watch", "all poolers, as it happens"},
                   {"multigres logs postgres/zone1 --since 10m --level warn", "what went wrong lately"},
                   {"multigres logs multiorch/zone1 --previous --tail 50", "how its last run ended"},
                   {"multigres logs --tail 100 --json", "the last 100 records, for a program"}},
      .aliases = {"cluster logs"},
      .group = "CLUSTER",
      .run = RunLogs,
  };
}

}  // namespace mg::cli
