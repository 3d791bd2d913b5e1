#include "cli/commands/gateway_queries.h"

// What clients ask, by shape, and which prepared statements they hold.
#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/context.h"
#include "cli/commands/operation.h"
#include "cli/output/relative.h"
#include "cli/output/table.h"
#include "common/text/text.h"
#include "multiadminservice.grpc.pb.h"

namespace mg::cli {
namespace {

using Admin = multiadmin::MultiadminService;
using clustermetadata::Multigateway;
using multigatewaymanagerdata::QueryStatSnapshot;

constexpr int kShownRows = 20;
constexpr size_t kSparkWidth = 12;

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

std::string DurationText(const google::protobuf::Duration& duration) {
  double ms = Seconds(duration) * 1000;
  return ms >= 1000 ? absl::StrFormat("%.1fs", ms / 1000)
         : ms >= 10 ? absl::StrFormat("%.0fms", ms)
                    : absl::StrFormat("%.2fms", ms);
}

/// The course of one number, oldest first.
using Trend = google::protobuf::RepeatedField<double>;

/// The number now, which is that of the last sample; 0: there is none yet.
double Latest(const Trend& trend) { return trend.empty() ? 0 : trend.Get(trend.size() - 1); }

/// The last values as bars, the highest of them full.
std::string Sparkline(const Trend& values) {
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  auto count = static_cast<int>(std::min<size_t>(kSparkWidth, static_cast<size_t>(values.size())));
  double highest = 0;
  for (int i = values.size() - count; i < values.size(); ++i) {
    highest = std::max(highest, values.Get(i));
  }
  std::string line;
  for (int i = values.size() - count; i < values.size(); ++i) {
    double share = highest > 0 ? std::clamp(values.Get(i) / highest, 0.0, 1.0) : 0;
    line += kBars[static_cast<size_t>(share * 7 + 0.5)];
  }
  return line;
}

/// What a person reads in one line of a table; the table cuts it where a terminal ends.
std::string OneLine(std::string line) {
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line;
}

using Measure = double (*)(const QueryStatSnapshot&);

/// What --sort knows, as the columns are called; the first is the usual one.
const std::vector<std::pair<std::string, Measure>>& Measures() {
  static const auto* const kMeasures = new std::vector<std::pair<std::string, Measure>>{
      {"total", [](const QueryStatSnapshot& row) { return Seconds(row.total_duration()); }},
      {"share", [](const QueryStatSnapshot& row) { return Seconds(row.total_duration()); }},
      {"calls", [](const QueryStatSnapshot& row) { return static_cast<double>(row.calls()); }},
      {"calls/s", [](const QueryStatSnapshot& row) { return Latest(row.call_rate_trends()); }},
      {"ms/s", [](const QueryStatSnapshot& row) { return Latest(row.total_time_ms_trends()); }},
      {"errors", [](const QueryStatSnapshot& row) { return static_cast<double>(row.errors()); }},
      {"average", [](const QueryStatSnapshot& row) { return Seconds(row.average_duration()); }},
      {"min", [](const QueryStatSnapshot& row) { return Seconds(row.min_duration()); }},
      {"max", [](const QueryStatSnapshot& row) { return Seconds(row.max_duration()); }},
      {"p50", [](const QueryStatSnapshot& row) { return Seconds(row.p50_duration()); }},
      {"p99", [](const QueryStatSnapshot& row) { return Seconds(row.p99_duration()); }},
      {"rows", [](const QueryStatSnapshot& row) { return static_cast<double>(row.total_rows()); }},
      {"rows/s", [](const QueryStatSnapshot& row) { return Latest(row.rows_rate_trends()); }},
      {"last-seen",
       [](const QueryStatSnapshot& row) {
         return static_cast<double>(row.last_seen().seconds()) + row.last_seen().nanos() * 1e-9;
       }},
  };
  return *kMeasures;
}

std::vector<std::string> MeasureNames() {
  std::vector<std::string> names;
  for (const auto& [name, measure] : Measures()) {
    names.push_back(name);
  }
  return names;
}

/// The gateway that is named, or the first one.
absl::StatusOr<Multigateway> WantedGateway(Context& context) {
  multiadmin::GetGatewaysResponse response;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetGateways, multiadmin::GetGatewaysRequest(), &response));
  std::vector<Multigateway> gateways(response.gateways().begin(), response.gateways().end());
  std::sort(gateways.begin(), gateways.end(),
            [](const Multigateway& a, const Multigateway& b) { return a.id().cell() < b.id().cell(); });
  if (!context.args().positionals.empty()) {
    return FindRecord(gateways, "multigateway", context.args().positionals[0]);
  }
  if (gateways.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "no gateway is registered",
                     {.reason = "UNKNOWN_COMPONENT", .hint = "'multigres status' shows what runs"});
  }
  return gateways[0];
}

/// What --grep asks for; null: everything.
absl::StatusOr<std::unique_ptr<RE2>> Wanted(const Context& context) {
  if (!context.args().Has("grep")) {
    return nullptr;
  }
  auto wanted = std::make_unique<RE2>(context.args().Get("grep"), RE2::Quiet);
  if (!wanted->ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("'", context.args().Get("grep"), "' is not a regular expression: ", wanted->error()),
                     {.reason = "USAGE", .hint = R"(a backslash takes a sign as it is, as in 'count\(\*\)')"});
  }
  return wanted;
}

bool Matches(const RE2* wanted, const std::string& text) {
  return wanted == nullptr || RE2::PartialMatch(text, *wanted);
}

/// What a gateway was asked, by --grep, --sort and --limit.
struct Queries {
  multiadmin::GetGatewayQueriesResponse response;
  double run_time = 0;  ///< seconds of all that was asked, whether it matches or not
  int matching = 0;     ///< before --limit
};

absl::StatusOr<Queries> ReadQueries(Context& context, const Multigateway& gateway, const RE2* wanted,
                                    std::uint32_t limit) {
  multiadmin::GetGatewayQueriesRequest request;
  *request.mutable_gateway_id() = gateway.id();
  Queries result;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetGatewayQueries, request, &result.response));
  auto* queries = result.response.mutable_snapshot()->mutable_queries();
  for (const QueryStatSnapshot& row : *queries) {
    result.run_time += Seconds(row.total_duration());
  }
  queries->erase(std::remove_if(queries->begin(), queries->end(),
                                [&](const QueryStatSnapshot& row) { return !Matches(wanted, row.normalized_sql()); }),
                 queries->end());
  result.matching = queries->size();
  const std::string sort = context.args().Get("sort", Measures()[0].first);
  for (const auto& [name, measure] : Measures()) {
    if (name == sort) {
      std::stable_sort(queries->begin(), queries->end(),
                       [measure = measure](const auto& a, const auto& b) { return measure(a) > measure(b); });
    }
  }
  if (limit != 0 && queries->size() > static_cast<int>(limit)) {
    queries->DeleteSubrange(static_cast<int>(limit), queries->size() - static_cast<int>(limit));
  }
  return result;
}

/// So much of a statement tells it from others.
constexpr int kLeastOfQuery = 32;

/// Numbers of a column, with the course of each beside it.
struct Course {
  const char* header;
  std::string (*number)(const QueryStatSnapshot&);
  const Trend& (*trend)(const QueryStatSnapshot&);
};

/// A decimal place tells slow ones from none.
std::string RateText(const Trend& trend) { return absl::StrFormat("%.1f", Latest(trend)); }

/// Those of the UI's page; where there is no room for all courses, those of the last ones go first.
const std::vector<Course>& Courses() {
  static const auto* const kCourses = new std::vector<Course>{
      {"CALLS/S", [](const auto& row) { return RateText(row.call_rate_trends()); },
       [](const auto& row) -> const Trend& { return row.call_rate_trends(); }},
      {"MS/S", [](const auto& row) { return RateText(row.total_time_ms_trends()); },
       [](const auto& row) -> const Trend& { return row.total_time_ms_trends(); }},
      {"P50", [](const auto& row) { return DurationText(row.p50_duration()); },
       [](const auto& row) -> const Trend& { return row.p50_ms_trends(); }},
      {"P99", [](const auto& row) { return DurationText(row.p99_duration()); },
       [](const auto& row) -> const Trend& { return row.p99_ms_trends(); }},
      {"ROWS/S", [](const auto& row) { return RateText(row.rows_rate_trends()); },
       [](const auto& row) -> const Trend& { return row.rows_rate_trends(); }},
  };
  return *kCourses;
}

/// With the first `drawn` courses as bars. `all`: the columns that the UI does not have as well.
Table QueriesTable(const Queries& queries, size_t drawn, bool all) {
  // What is left out first, on a narrow terminal, stands to the right.
  std::vector<std::string> headers = {"SHARE", "CALLS"};
  for (const Course& course : Courses()) {
    headers.emplace_back(course.header);
  }
  if (all) {
    headers.insert(headers.end(), {"ERRORS", "LAST SEEN", "TOTAL", "AVG", "ROWS", "FINGERPRINT", "MIN", "MAX"});
  }
  headers.emplace_back("QUERY");
  const auto& rows = queries.response.snapshot().queries();
  // The bars of a column stand under each other.
  std::vector<int> widths;
  for (const Course& course : Courses()) {
    int widest = 0;
    for (const QueryStatSnapshot& row : rows) {
      widest = std::max(widest, text::DisplayWidth(course.number(row)));
    }
    widths.push_back(widest);
  }
  const int last = static_cast<int>(headers.size()) - 1;
  Table table(std::move(headers), last, kLeastOfQuery);
  for (const QueryStatSnapshot& row : rows) {
    const double share = queries.run_time > 0 ? Seconds(row.total_duration()) / queries.run_time : 0;
    std::vector<std::string> cells = {absl::StrFormat("%.1f%%", share * 100), absl::StrCat(row.calls())};
    for (size_t i = 0; i < Courses().size(); ++i) {
      std::string number = Courses()[i].number(row);
      if (i < drawn) {
        number.resize(static_cast<size_t>(widths[i]) + 1, ' ');
        absl::StrAppend(&number, Sparkline(Courses()[i].trend(row)));
      }
      cells.push_back(std::move(number));
    }
    if (all) {
      for (std::string& cell : std::vector<std::string>{
               absl::StrCat(row.errors()), Relative(row.last_seen()), DurationText(row.total_duration()),
               DurationText(row.average_duration()), absl::StrCat(row.total_rows()), row.fingerprint(),
               DurationText(row.min_duration()), DurationText(row.max_duration())}) {
        cells.push_back(std::move(cell));
      }
    }
    cells.push_back(OneLine(row.normalized_sql()));
    table.Add(std::move(cells));
  }
  return table;
}

std::string Counted(std::uint64_t count, const char* thing) {
  return absl::StrCat(count, " ", thing, count == 1 ? "" : "s");
}

std::string QueriesText(const Context& context, const Multigateway& gateway, const Queries& queries) {
  const Terminal& terminal = context.terminal();
  size_t drawn = terminal.out_is_tty ? Courses().size() : 0;  // what is piped has numbers alone
  while (drawn > 0 && QueriesTable(queries, drawn, /*all=*/false).LeastWidth() > terminal.width) {
    --drawn;
  }
  return absl::StrCat(
      ComponentName("multigateway", gateway.id()), "  ",
      Counted(queries.response.snapshot().tracked_fingerprints(), "fingerprint"),
      context.args().Has("grep") ? absl::StrCat(", ", queries.matching, " matching") : "", "\n\n",
      QueriesTable(queries, drawn, /*all=*/true).Render(terminal.out_is_tty ? terminal.width : 0, terminal.out_colour));
}

/// That a gateway does not answer, without gRPC's own words; other errors as they are.
absl::Status OfGateway(const Multigateway& gateway, const absl::Status& status) {
  const ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  if (detail.reason != "GATEWAY_SILENT") {
    return status;
  }
  const std::string name = ComponentName("multigateway", gateway.id());
  return MakeError(status.code(), absl::StrCat(name, " does not answer"),
                   {.reason = detail.reason, .hint = absl::StrCat("multigres why ", name), .subject = name});
}

int RunQueries(Context& context) {
  std::uint32_t limit = kShownRows;
  if (context.args().Has("limit") && !absl::SimpleAtoi(context.args().Get("limit"), &limit)) {
    return context.Fail(MakeError(absl::StatusCode::kInvalidArgument,
                                  absl::StrCat("'", context.args().Get("limit"), "' is not a number of rows"),
                                  {.reason = "USAGE", .hint = "use 0 for all of them"}));
  }
  absl::StatusOr<std::unique_ptr<RE2>> wanted = Wanted(context);
  if (!wanted.ok()) {
    return context.Fail(wanted.status());
  }
  absl::StatusOr<Multigateway> gateway = WantedGateway(context);
  if (!gateway.ok()) {
    return context.Fail(gateway.status());
  }
  absl::StatusOr<Queries> queries = ReadQueries(context, *gateway, wanted->get(), limit);
  if (!queries.ok()) {
    return context.Fail(OfGateway(*gateway, queries.status()));
  }
  return context.Emit(queries->response, [&] { return QueriesText(context, *gateway, *queries); });
}

int RunConsolidator(Context& context) {
  absl::StatusOr<std::unique_ptr<RE2>> wanted = Wanted(context);
  if (!wanted.ok()) {
    return context.Fail(wanted.status());
  }
  absl::StatusOr<Multigateway> gateway = WantedGateway(context);
  if (!gateway.ok()) {
    return context.Fail(gateway.status());
  }
  multiadmin::GetGatewayConsolidatorRequest request;
  *request.mutable_gateway_id() = gateway->id();
  multiadmin::GetGatewayConsolidatorResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetGatewayConsolidator, request, &response);
  if (!status.ok()) {
    return context.Fail(OfGateway(*gateway, status));
  }
  auto* statements = response.mutable_stats()->mutable_prepared_statements();
  statements->erase(std::remove_if(statements->begin(), statements->end(),
                                   [&](const auto& prepared) {
                                     return !Matches(wanted->get(), prepared.name()) &&
                                            !Matches(wanted->get(), prepared.query());
                                   }),
                    statements->end());
  return context.Emit(response, [&] {
    const auto& stats = response.stats();
    Table table({"NAME", "REFERENCES", "QUERY"}, 2);
    for (const auto& prepared : stats.prepared_statements()) {
      table.Add({prepared.name(), absl::StrCat(prepared.refs()), OneLine(prepared.query())});
    }
    return absl::StrCat(
        ComponentName("multigateway", gateway->id()), "  ", Counted(stats.unique_statements(), "prepared statement"),
        ", ", Counted(stats.total_references(), "reference"), ", ", Counted(stats.connection_count(), "connection"),
        wanted->get() != nullptr ? absl::StrCat("; ", stats.prepared_statements_size(), " matching") : "", "\n\n",
        table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour));
  });
}

}  // namespace

std::vector<Command> GatewayStatsCommands() {
  const Positional gateway = {.name = "NAME",
                              .help = "multigateway/zone1, its cell, or its id's name; default: the first"};
  return {
      {.path = "gateway queries",
       .summary = "show what a gateway's clients ask: calls, errors, times, rows",
       .description =
           "Show what a gateway's clients ask since it started, by the shape of the statement: literals do not count. "
           "SHARE is a statement's part of the time of all; CALLS/S, MS/S (time spent in a second) and ROWS/S are of "
           "the "
           "last ten seconds, with their course where the terminal is wide enough. "
           "__utility__ stands for all statements that touch no tables by themselves, __other__ for shapes that were "
           "not asked for long and gave way to others.",
       .positionals = {gateway},
       .flags = {{.name = "sort", .value = "FIELD", .help = "highest first; default total", .choices = MeasureNames()},
                 {.name = "limit", .value = "N", .help = "at most so many; 0: all; default 20"},
                 {.name = "grep", .value = "REGEX", .help = "only statements that match (RE2)"}},
       .examples = {{"multigres gateway queries zone1 --sort p99", "the slowest first"},
                    {"multigres gateway queries --grep '(?i)^insert' --sort calls/s",
                     "what is written most, right now"},
                    {"multigres gateway queries --watch", "live, with the course of the last minutes"}},
       .group = "TOPOLOGY",
       .run = RunQueries},
      {.path = "gateway consolidator",
       .summary = "show the prepared statements that a gateway's clients hold",
       .positionals = {gateway},
       .flags = {{.name = "grep", .value = "REGEX", .help = "only those whose name or text matches (RE2)"}},
       .examples = {{"multigres gateway consolidator zone1", "the most shared first"}},
       .group = "TOPOLOGY",
       .run = RunConsolidator},
  };
}

}  // namespace mg::cli
