#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/render.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

absl::StatusOr<agent::GetInfoResponse> Info(Context& context, bool start) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(start, /*any=*/true));
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(absl::Seconds(5)));
  return client->Call(agent::GetInfoRequest(), deadline);
}

bool NotRunning(const absl::Status& status) {
  return DetailOf(status).value_or(ErrorDetail{}).reason == "AGENT_NOT_RUNNING";
}

int EmitInfo(Context& context, const absl::StatusOr<agent::GetInfoResponse>& info) {
  multigres::cli::v1::AgentOutput output;
  output.set_running(info.ok());
  if (info.ok()) {
    *output.mutable_info() = *info;
  }
  context.Emit(output, [&]() -> std::string {
    if (!info.ok()) {
      return "no agent runs\n";
    }
    absl::Duration up = absl::Now() - absl::FromUnixSeconds(info->start_time().seconds());
    return absl::StrCat("agent ", info->version(), " runs: pid ", info->pid(), ", up ", text::HumanDuration(up),
                        "\n  socket  ", info->socket(), "\n  home    ", info->home(), "\n  log     ", info->log_file(),
                        "\n");
  });
  return info.ok() ? kExitOk : kExitUnhealthy;
}

int RunStart(Context& context) {
  absl::StatusOr<agent::GetInfoResponse> info = Info(context, /*start=*/true);
  return info.ok() ? EmitInfo(context, info) : context.Fail(info.status());
}

int RunStatus(Context& context) {
  absl::StatusOr<agent::GetInfoResponse> info = Info(context, /*start=*/false);
  return info.ok() || NotRunning(info.status()) ? EmitInfo(context, info) : context.Fail(info.status());
}

/// Ends the agent that `info` names and waits for its end; `restarts`: another one is started at once.
absl::Status EndAgent(Context& context, const agent::GetInfoResponse& info, bool restarts) {
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(absl::Seconds(20)));
  absl::StatusOr<ProcessId> process = IdentifyProcess(info.pid());
  absl::StatusOr<UniqueFd> pidfd = process.ok() ? OpenPidfd(*process) : process.status();
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/false, /*any=*/true));
  agent::ShutdownRequest request;
  request.set_restarts(restarts);
  MG_RETURN_IF_ERROR(client->Call(request, deadline).status());
  if (pidfd.ok()) {
    pollfd wait = {pidfd->get(), POLLIN, 0};
    int left = static_cast<int>(absl::ToInt64Milliseconds(std::max(deadline - absl::Now(), absl::ZeroDuration())));
    if (::poll(&wait, 1, left) == 0) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, absl::StrCat("the agent (pid ", info.pid(), ") still runs"),
                       {.hint = absl::StrCat("see ", info.log_file())});
    }
  }
  context.LeaveAgent();
  return absl::OkStatus();
}

int RunStop(Context& context) {
  multigres::cli::v1::AgentOutput output;
  absl::StatusOr<agent::GetInfoResponse> info = Info(context, /*start=*/false);
  if (!info.ok()) {
    return NotRunning(info.status()) ? context.Emit(output, [] { return "no agent runs\n"; })
                                     : context.Fail(info.status());
  }
  if (absl::Status status = EndAgent(context, *info, /*restarts=*/false); !status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(output, [] { return "the agent is stopped; the components go on\n"; });
}

int RunRestart(Context& context) {
  absl::StatusOr<agent::GetInfoResponse> before = Info(context, /*start=*/false);
  if (!before.ok() && !NotRunning(before.status())) {
    return context.Fail(before.status());
  }
  if (before.ok()) {
    if (absl::Status status = EndAgent(context, *before, /*restarts=*/true); !status.ok()) {
      return context.Fail(status);
    }
  }
  // The program beside this one: after an upgrade that is the new one. It finds what runs and looks after it.
  return RunStart(context);
}

/// A line of the agent's log as a record: its time and level where they can be told.
agent::LogRecord RecordOf(std::string line) {
  agent::LogRecord record;
  record.set_component("agent");
  record.set_stream("stderr");
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
  absl::string_view time = words[0], level = words.size() > 1 ? words[1] : "";
  absl::Time moment;
  std::string error;
  if (absl::ConsumePrefix(&time, "time=") && absl::ConsumePrefix(&level, "level=") &&
      absl::ParseTime(absl::RFC3339_full, time, &moment, &error)) {
    const timespec parts = absl::ToTimespec(moment);
    record.mutable_time()->set_seconds(parts.tv_sec);
    record.mutable_time()->set_nanos(static_cast<int>(parts.tv_nsec));
    record.set_level(absl::AsciiStrToLower(level));
  }
  record.set_text(std::move(line));
  return record;
}

/// What `tail` prints, line by line as records.
int PrintRecords(Context& context, const std::string& tail_command) {
  FILE* pipe = ::popen(tail_command.c_str(), "re");
  if (pipe == nullptr) {
    return context.Fail(ErrnoStatus(errno, "run tail"));
  }
  ::signal(SIGPIPE, SIG_DFL);
  char* line = nullptr;
  size_t capacity = 0;
  ssize_t length = 0;
  while ((length = ::getline(&line, &capacity, pipe)) > 0) {
    agent::LogRecord record = RecordOf(std::string(absl::StripSuffix({line, static_cast<size_t>(length)}, "\n")));
    context.Out(context.format() == Format::kJson ? ToJsonLine(record) : absl::StrCat("---\n", ToYaml(record)));
  }
  ::free(line);
  return ::pclose(pipe) == 0 ? kExitOk : context.Fail(absl::InternalError("tail: it failed, as it said itself"));
}

int RunLogs(Context& context) {
  absl::StatusOr<AgentPlace> place = FindAgent(context.environment());
  if (!place.ok()) {
    return context.Fail(place.status());
  }
  const std::string& path = place->log_file;
  std::string lines = context.args().Get("tail", "100");
  if (int count = 0; !absl::SimpleAtoi(lines, &count) || count < 0) {
    return context.Fail(MakeError(absl::StatusCode::kInvalidArgument,
                                  absl::StrCat("--tail: '", lines, "' is not a number of lines"),
                                  {.reason = "USAGE", .hint = "such as --tail 50"}));
  }
  if (!Exists(path)) {
    return context.Fail(MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no agent log at ", path),
                                  {.reason = "FILE_NOT_FOUND", .hint = "'multigres agent start' makes one"}));
  }
  const char* follow = context.args().Has("watch") || context.args().Has("follow") ? "-F" : "-q";
  if (context.format() != Format::kText) {
    return PrintRecords(context, absl::StrCat("exec tail -n ", lines, " ", follow, " -- ", text::ShellQuote(path)));
  }
  ::execlp("tail", "tail", "-n", lines.c_str(), follow, "--", path.c_str(), nullptr);
  return context.Fail(ErrnoStatus(errno, "run tail"));
}

}  // namespace

std::vector<Command> AgentCommands() {
  return {
      {.path = "agent start",
       .summary = "start the agent, if none runs",
       .examples = {{"multigres agent start", "other commands do it by themselves when they need one"}},
       .group = "AGENT",
       .run = RunStart},
      {.path = "agent stop",
       .summary = "stop the agent; the components go on",
       .examples = {{"multigres agent stop", "the next command that needs one starts it again"}},
       .group = "AGENT",
       .run = RunStop},
      {.path = "agent restart",
       .summary = "end the agent and start it anew, after an upgrade for example; the components go on",
       .description =
           "End the running agent and start the one beside this program. Every component keeps its process, and every "
           "client its connection to the database: the new agent takes over what runs, and an operation that was under "
           "way is finished.",
       .examples = {{"multigres agent restart", "have the installed version take over"}},
       .group = "AGENT",
       .run = RunRestart},
      {.path = "agent status",
       .summary = "show the agent",
       .examples = {{"multigres agent status --json", "pid, socket, versions"}},
       .group = "AGENT",
       .run = RunStatus},
      {.path = "agent logs",
       .summary = "show the agent's own log",
       .flags = {{.name = "watch", .letter = 'w', .help = "go on with new lines"},
                 {.name = "follow", .letter = 'f', .help = "the same as --watch"},
                 {.name = "tail", .letter = 'n', .value = "N", .help = "the last N lines; default 100"}},
       .examples = {{"multigres agent logs -f", "follow"}},
       .group = "AGENT",
       .run = RunLogs},
  };
}

}  // namespace mg::cli
