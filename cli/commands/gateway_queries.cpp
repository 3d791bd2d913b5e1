#include "cli/commands/gateway_queries.h"

// What clients ask, by shape, and which prepared statements they hold.
#include <algorithm>
#include <csignal>
#include <ctime>
#include <map>

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

/// The last values as bars, the highest of them full.
std::string Sparkline(const google::protobuf::RepeatedField<double>& values) {
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

/// What --sort knows; the first is the usual one.
const std::vector<std::pair<std::string, Measure>>& Measures() {
  static const auto* const kMeasures = new std::vector<std::pair<std::string, Measure>>{
      {"total", [](const QueryStatSnapshot& row) { return Seconds(row.total_duration()); }},
      {"calls", [](const QueryStatSnapshot& row) { return static_cast<double>(row.calls()); }},
      {"errors", [](const QueryStatSnapshot& row) { return static_cast<double>(row.errors()); }},
      {"average", [](const QueryStatSnapshot& row) { return Seconds(row.average_duration()); }},
      {"max", [](const QueryStatSnapshot& row) { return Seconds(row.max_duration()); }},
      {"p50", [](const QueryStatSnapshot& row) { return Seconds(row.p50_duration()); }},
      {"p99", [](const QueryStatSnapshot& row) { return Seconds(row.p99_duration()); }},
      {"rows", [](const QueryStatSnapshot& row) { return static_cast<double>(row.total_rows()); }},
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

absl::StatusOr<multiadmin::GetGatewayQueriesResponse> ReadQueries(Context& context, const Multigateway& gateway,
                                                                  std::uint32_t limit) {
  multiadmin::GetGatewayQueriesRequest request;
  *request.mutable_gateway_id() = gateway.id();
  multiadmin::GetGatewayQueriesResponse response;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetGatewayQueries, request, &response));
  const std::string wanted = context.args().Get("sort", Measures()[0].first);
  for (const auto& [name, measure] : Measures()) {
    if (name == wanted) {
      std::stable_sort(response.mutable_snapshot()->mutable_queries()->begin(),
                       response.mutable_snapshot()->mutable_queries()->end(),
                       [measure = measure](const auto& a, const auto& b) { return measure(a) > measure(b); });
    }
  }
  auto* queries = response.mutable_snapshot()->mutable_queries();
  if (limit != 0 && queries->size() > static_cast<int>(limit)) {
    queries->DeleteSubrange(static_cast<int>(limit), queries->size() - static_cast<int>(limit));
  }
  return response;
}

/// So much of a statement tells it from others.
constexpr int kLeastOfQuery = 32;

std::string QueriesText(const Context& context, const Multigateway& gateway,
                        const multiadmin::GetGatewayQueriesResponse& response) {
  const bool terminal = context.terminal().out_is_tty;
  // What is left out first, on a narrow terminal, stands to the right.
  Table table({"CALLS", "TOTAL", "AVG", "P99", "ERRORS", "ROWS", "CALLS/S", "LAST SEEN", "FINGERPRINT", "P50", "MIN",
               "MAX", "QUERY"},
              12, kLeastOfQuery);
  for (const QueryStatSnapshot& row : response.snapshot().queries()) {
    const auto& rates = row.call_rate_trends();
    const std::string rate = terminal        ? Sparkline(rates)
                             : rates.empty() ? ""
                                             : absl::StrFormat("%.1f", rates.Get(rates.size() - 1));
    table.Add({absl::StrCat(row.calls()), DurationText(row.total_duration()), DurationText(row.average_duration()),
               DurationText(row.p99_duration()), absl::StrCat(row.errors()), absl::StrCat(row.total_rows()), rate,
               Relative(row.last_seen()), row.fingerprint(), DurationText(row.p50_duration()),
               DurationText(row.min_duration()), DurationText(row.max_duration()), OneLine(row.normalized_sql())});
  }
  return absl::StrCat(ComponentName("multigateway", gateway.id()), "  ", response.snapshot().tracked_fingerprints(),
                      response.snapshot().tracked_fingerprints() == 1 ? " fingerprint\n\n" : " fingerprints\n\n",
                      table.Render(terminal ? context.terminal().width : 0, context.terminal().out_colour));
}

int RunQueries(Context& context) {
  std::uint32_t limit = kShownRows;
  if (context.args().Has("limit") && !absl::SimpleAtoi(context.args().Get("limit"), &limit)) {
    return context.Fail(MakeError(absl::StatusCode::kInvalidArgument,
                                  absl::StrCat("'", context.args().Get("limit"), "' is not a number of rows"),
                                  {.reason = "USAGE", .hint = "use 0 for all of them"}));
  }
  absl::StatusOr<Multigateway> gateway = WantedGateway(context);
  if (!gateway.ok()) {
    return context.Fail(gateway.status());
  }
  absl::StatusOr<multiadmin::GetGatewayQueriesResponse> response = ReadQueries(context, *gateway, limit);
  if (!response.ok()) {
    return context.Fail(response.status());
  }
  return context.Emit(*response, [&] { return QueriesText(context, *gateway, *response); });
}

int RunConsolidator(Context& context) {
  absl::StatusOr<Multigateway> gateway = WantedGateway(context);
  if (!gateway.ok()) {
    return context.Fail(gateway.status());
  }
  multiadmin::GetGatewayConsolidatorRequest request;
  *request.mutable_gateway_id() = gateway->id();
  multiadmin::GetGatewayConsolidatorResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetGatewayConsolidator, request, &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    const auto& stats = response.stats();
    Table table({"NAME", "REFERENCES", "QUERY"}, 2);
    for (const auto& prepared : stats.prepared_statements()) {
      table.Add({prepared.name(), absl::StrCat(prepared.refs()), OneLine(prepared.query())});
    }
    return absl::StrCat(
        ComponentName("multigateway", gateway->id()), "  ", stats.unique_statements(), " prepared statements, ",
        stats.total_references(), " references, ", stats.connection_count(), " connections\n\n",
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
           "__utility__ stands for all statements that touch no tables by themselves, __other__ for shapes that were "
           "not asked for long and gave way to others.",
       .positionals = {gateway},
       .flags = {{.name = "sort", .value = "FIELD", .help = "highest first; default total", .choices = MeasureNames()},
                 {.name = "limit", .value = "N", .help = "at most so many; 0: all; default 20"}},
       .examples = {{"multigres gateway queries zone1 --sort p99", "the slowest first"},
                    {"multigres gateway queries --watch", "live, with the course of the last minutes"}},
       .group = "TOPOLOGY",
       .run = RunQueries},
      {.path = "gateway consolidator",
       .summary = "show the prepared statements that a gateway's clients hold",
       .positionals = {gateway},
       .examples = {{"multigres gateway consolidator zone1", "the most shared first"}},
       .group = "TOPOLOGY",
       .run = RunConsolidator},
  };
}

}  // namespace mg::cli
