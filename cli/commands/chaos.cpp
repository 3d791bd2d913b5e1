// chaos: one fault, injected into a local cluster by its agent, with what clients noticed of it.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/operation.h"
#include "cli/output/table.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::provisioner::v1;

/// Beyond the fault itself: the probe's start, the recovery and the reading back.
constexpr absl::Duration kAround = absl::Seconds(90);
constexpr absl::Duration kDefaultDuration = absl::Seconds(10);

absl::Status Usage(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

absl::StatusOr<std::int64_t> ParseSize(const std::string& text) {
  const std::string upper = absl::AsciiStrToUpper(text);
  size_t end = upper.find_first_not_of("0123456789");
  const std::string unit = end == std::string::npos ? "" : upper.substr(end);
  std::int64_t number = 0;
  int shift = 0;
  for (const char* letters : {"KB", "MB", "GB"}) {
    shift += 10;
    if (unit == letters || unit == std::string(1, letters[0])) {
      break;
    }
    if (std::string(letters) == "GB") {
      shift = unit.empty() ? 0 : -1;
    }
  }
  if (!absl::SimpleAtoi(upper.substr(0, end), &number) || number <= 0 || number > (1 << 30) || shift < 0) {
    return Usage(absl::StrCat("'", text, "' is no size"), "write it as 500MB or 2GB");
  }
  return number << shift;
}

absl::StatusOr<v1::InjectFaultRequest> RequestOf(Context& context, v1::FaultKind kind) {
  v1::InjectFaultRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_kind(kind);
  request.set_target(context.args().positionals[0]);
  request.set_no_probe(context.args().Has("no-probe"));
  if (context.args().Has("for")) {
    absl::Duration duration;
    if (!absl::ParseDuration(context.args().Get("for"), &duration)) {
      return Usage(absl::StrCat("'", context.args().Get("for"), "' is no duration"), "write it as 500ms, 10s or 2m");
    }
    if (duration <= absl::ZeroDuration()) {
      return Usage(absl::StrCat("a fault cannot last ", context.args().Get("for")),
                   "give a time above 0, as 500ms or 10s");
    }
    timespec span = absl::ToTimespec(duration);
    request.mutable_duration()->set_seconds(span.tv_sec);
    request.mutable_duration()->set_nanos(static_cast<int>(span.tv_nsec));
  }
  if (context.args().Has("up-to")) {
    MG_ASSIGN_OR_RETURN(std::int64_t bytes, ParseSize(context.args().Get("up-to")));
    request.set_most_bytes(bytes);
  }
  return request;
}

std::string Seconds(bool known, double seconds) { return known ? absl::StrFormat("%.2fs", seconds) : "-"; }

// Between two acknowledged writes; a planned change of the primary is to take less.
constexpr double kPauseSeconds = 0.5;

bool NeverStopped(const v1::GatewayReport& gateway) {
  return gateway.has_first_write_seconds() && gateway.errors().empty() &&
         gateway.longest_pause_seconds() < kPauseSeconds;
}

std::string FirstWriteText(const v1::FaultReport& report) {
  if (std::all_of(report.gateways().begin(), report.gateways().end(), NeverStopped)) {
    return "writes never stopped";
  }
  for (const v1::GatewayReport& gateway : report.gateways()) {
    if (NeverStopped(gateway)) {
      return absl::StrCat("writes never stopped through ", gateway.gateway());
    }
  }
  return absl::StrCat(
      Seconds(report.has_first_write_seconds(), report.first_write_seconds()),
      report.first_write_gateway().empty() ? "" : absl::StrCat("  through ", report.first_write_gateway()));
}

std::string ReportText(const v1::FaultReport& report) {
  std::string text = absl::StrCat(report.kind(), " of ", absl::StrJoin(report.components(), ", "), "\n");
  absl::StrAppend(&text, "detected      ", Seconds(report.has_detected_seconds(), report.detected_seconds()),
                  report.detected_by().empty() ? " nobody noticed"
                                               : absl::StrCat("  ", report.detected_by(), ": ", report.detection()),
                  "\n");
  if (!report.gateways().empty()) {
    absl::StrAppend(&text, "first write   ", FirstWriteText(report), "\n");
  }
  if (report.has_undone_seconds()) {
    absl::StrAppend(&text, "undone        ", Seconds(true, report.undone_seconds()), "\n");
  }
  absl::StrAppend(&text, "primary       ", report.primary_before().empty() ? "-" : report.primary_before(), " -> ",
                  report.primary_after().empty() ? "-" : report.primary_after(), "\n");
  if (report.gateways().empty()) {
    return text;
  }
  Table table({"GATEWAY", "FIRST WRITE", "LONGEST PAUSE", "ACKNOWLEDGED", "ERRORS"});
  for (const v1::GatewayReport& gateway : report.gateways()) {
    std::vector<std::string> errors;
    for (const v1::FaultError& error : gateway.errors()) {
      errors.push_back(absl::StrCat(error.count(), " x ", error.sqlstate()));
    }
    table.Add({gateway.gateway(),
               NeverStopped(gateway) ? "never stopped"
                                     : Seconds(gateway.has_first_write_seconds(), gateway.first_write_seconds()),
               Seconds(true, gateway.longest_pause_seconds()), absl::StrCat(gateway.acknowledged()),
               errors.empty() ? "-" : absl::StrJoin(errors, ", ")});
  }
  absl::StrAppend(&text, "\n", table.Render(0, false), "\n");
  absl::StrAppend(&text, report.verified() ? absl::StrCat("acknowledged writes lost: ", report.lost_writes(), "\n")
                                           : "the writes could not be read back, so nothing is said about lost ones\n");
  return text;
}

int RunChaos(Context& context, v1::FaultKind kind) {
  absl::StatusOr<v1::InjectFaultRequest> request = RequestOf(context, kind);
  if (!request.ok()) {
    return context.Fail(request.status());
  }
  absl::Duration lasts = kDefaultDuration;
  if (request->has_duration()) {
    lasts = absl::Seconds(request->duration().seconds()) + absl::Nanoseconds(request->duration().nanos());
  }
  const std::string word = context.args().command->path.substr(std::string("chaos ").size());
  absl::StatusOr<bool> yes = context.Confirm(
      absl::StrCat(word, " ", request->target(),
                   kind == v1::FAULT_KIND_KILL ? "" : absl::StrCat(" for ", absl::FormatDuration(lasts)),
                   "? Clients of this cluster may notice."));
  if (!yes.ok()) {
    return context.Fail(yes.status());
  }
  if (!*yes) {
    return context.Fail(absl::CancelledError("nothing was done"));
  }
  absl::StatusOr<absl::Time> deadline = context.Deadline(lasts + kAround);
  if (!deadline.ok()) {
    return context.Fail(deadline.status());
  }
  HoldSignals();
  *request->mutable_options() = OptionsUntil(*deadline);
  multigres::cli::v1::ChaosOutput output;
  auto operation = RunOperation(context, *deadline, [&](AgentClient& client, const OperationReader& reader) {
    return client.Stream(*request, [&](const multigres::agent::v1::OperationEvent& event) {
      if (event.progress().has_fault()) {
        *output.mutable_report() = event.progress().fault();
      }
      return reader(event);
    });
  });
  if (!operation.ok()) {
    return context.Fail(operation.status());
  }
  output.set_operation_id(operation->operation_id());
  output.set_cluster(operation->cluster());
  (void)context.Emit(output, [&] { return ReportText(output.report()); });
  return output.report().lost_writes() > 0 ? kExitFailed : kExitOk;
}

Command Make(v1::FaultKind kind, const std::string& word, const std::string& summary, const std::string& description,
             const std::string& example, const std::string& comment) {
  Command command{
      .path = absl::StrCat("chaos ", word),
      .summary = summary,
      .description = absl::StrCat(
          description,
          " Then it is told how long it took until the cluster noticed and until a write was acknowledged again, and "
          "which errors a client saw through each gateway: a probe writes to the table multigres_chaos_probe of the "
          "database all the while, and reads back in the end what was acknowledged. The fault is undone at its end, on "
          "Ctrl-C, and by the next agent if need be. Only for clusters of this machine."),
      .positionals = {{.name = "NAME",
                       .help = "a component, a cell, 'primary', or 'primary/DATABASE'",
                       .required = true}},
      .flags = {{.name = "no-probe", .help = "without the probe client"},
                {.name = "yes", .letter = 'y', .help = "do not ask"}},
      .examples = {{example, comment}},
      .group = "CHAOS",
      .run = [kind](Context& context) { return RunChaos(context, kind); },
  };
  if (kind != v1::FAULT_KIND_KILL) {
    command.flags.push_back({.name = "for", .value = "DURATION", .help = "how long it lasts (10s)"});
  }
  if (kind == v1::FAULT_KIND_FILL_DISK) {
    command.flags.push_back(
        {.name = "up-to", .value = "SIZE", .help = "write this much instead of filling the file system"});
  }
  return command;
}

}  // namespace

std::vector<Command> ChaosCommands() {
  return {
      Make(v1::FAULT_KIND_KILL, "kill", "kill a component and see what clients notice",
           "Send SIGKILL to a component, or to all of a cell.", "multigres chaos kill primary --yes",
           "what a crash of the leader costs"),
      Make(v1::FAULT_KIND_FREEZE, "freeze", "freeze a component for a while and see what clients notice",
           "Stop all processes of a component, or of a cell, with SIGSTOP, and continue them later.",
           "multigres chaos freeze postgres/zone1 --for 5s", "five seconds without an answer"),
      Make(v1::FAULT_KIND_PARTITION, "partition", "cut a component off the network and see what clients notice",
           "Let no packet pass between a component, or a cell, and what is outside of its cell.",
           "multigres chaos partition zone1 --for 20s", "a cell without network"),
      Make(v1::FAULT_KIND_SLOW, "slow", "slow a component down and see what clients notice",
           "Let the processes of a component, or of a cell, run a tenth of the time.",
           "multigres chaos slow etcd --for 30s", "an overloaded etcd"),
      Make(v1::FAULT_KIND_FILL_DISK, "fill-disk", "fill the disk of a component and see what clients notice",
           "Take all space of the file system that a component's data is on. It must be a tmpfs or on a loop device, "
           "and "
           "at most 10 GiB; elsewhere --up-to writes a file of that size, and leaves 2 GiB and a tenth of it free.",
           "multigres chaos fill-disk postgres/zone1 --for 10s", "a full disk under the standby"),
  };
}

}  // namespace mg::cli
