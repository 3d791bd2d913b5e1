#include "cli/client/stuck_agent.h"

#include <poll.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"
#include "common/process/process_id.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

constexpr int kLookMilliseconds = 20;

/// The process that the discovery file names, if it is an agent; 0: not known. Read by hand, for every command looks.
pid_t AgentPid(const AgentPlace& place) {
  const std::string kKey = "\"pid\": ";
  absl::StatusOr<std::string> json = ReadFile(place.discovery);
  const size_t at = json.ok() ? json->find(kKey) : std::string::npos;
  if (at == std::string::npos) {
    return 0;
  }
  const size_t begin = at + kKey.size();
  pid_t pid = 0;
  const std::string digits = json->substr(begin, json->find_first_not_of("0123456789", begin) - begin);
  // The file of an agent that was killed may name a stranger by now.
  return absl::SimpleAtoi(digits, &pid) && absl::StartsWith(ProcessName(pid), "multigres-agent") ? pid : 0;
}

absl::Status Stuck(pid_t pid, bool stopped) {
  const std::string who = pid == 0 ? "the agent" : absl::StrCat("the agent (pid ", pid, ")");
  const std::string end = pid == 0 ? "end its process" : absl::StrCat("end it with 'kill -KILL ", pid, "'");
  const std::string next = ": the next command starts another one, and the components go on meanwhile";
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat(who, " does not answer", stopped ? ": its process was stopped by a signal" : ""),
                   {.reason = "AGENT_STUCK",
                    .hint = stopped ? absl::StrCat("'kill -CONT ", pid, "' has it go on; or ", end, next)
                                    : absl::StrCat(end, next)});
}

}  // namespace

absl::Status CheckGoesOn(const AgentPlace& place, absl::Duration patience) {
  const pid_t pid = AgentPid(place);
  absl::StatusOr<ProcessId> process = pid == 0 ? absl::NotFoundError("no agent") : IdentifyProcess(pid);
  if (!process.ok() || !IsStopped(*process)) {
    return absl::OkStatus();
  }
  // Who debugs or traces it stops it for moments. That it goes on is no event for others, its end is.
  absl::StatusOr<UniqueFd> end = OpenPidfd(*process);
  for (const absl::Time until = absl::Now() + patience; absl::Now() < until && end.ok();) {
    pollfd wait = {.fd = end->get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, kLookMilliseconds) != 0 || !IsStopped(*process)) {
      return absl::OkStatus();
    }
  }
  return Stuck(pid, /*stopped=*/true);
}

absl::Status CheckAnswers(const AgentOptions& options, absl::Duration limit) {
  AgentOptions ask = options;
  ask.start = false;
  ask.connect_timeout = limit;
  const absl::Time deadline = absl::Now() + limit;
  MG_ASSIGN_OR_RETURN(AgentPlace place, FindAgent(options.environment));
  MG_RETURN_IF_ERROR(CheckGoesOn(place, absl::ZeroDuration()));
  absl::StatusOr<std::unique_ptr<AgentClient>> client = AgentClient::Connect(ask);
  absl::Status status = client.ok() ? (*client)->Call(agent::GetInfoRequest(), deadline).status() : client.status();
  return absl::IsDeadlineExceeded(status) ? Stuck(AgentPid(place), /*stopped=*/false) : absl::OkStatus();
}

}  // namespace mg::cli
