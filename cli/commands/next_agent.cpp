#include "cli/commands/next_agent.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/context.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

/// Where nobody said that another agent comes, and where one said so.
constexpr absl::Duration kStopped = absl::Seconds(5), kRestarts = absl::Seconds(20);

std::string ReasonOf(const absl::Status& status) { return DetailOf(status).value_or(ErrorDetail{}).reason; }

/// Waits until something changes in the directory, or the time is over.
void WaitForChange(int watch, absl::Time until) {
  pollfd wait = {watch, POLLIN, 0};
  ::poll(&wait, 1,
         static_cast<int>(absl::ToInt64Milliseconds(std::max(until - absl::Now(), absl::ZeroDuration()))) + 1);
  char events[4096];
  while (::read(watch, events, sizeof events) > 0) {
  }
}

}  // namespace

bool AgentIsGone(const absl::Status& ended) {
  std::string reason = ReasonOf(ended);
  return absl::IsCancelled(ended) || reason == "AGENT_GONE" || reason == "AGENT_RESTARTS" || reason == "AGENT_STOPPED";
}

absl::Status NextAgent(Context& context, const absl::Status& ended) {
  context.LeaveAgent();
  if (ReasonOf(ended) == "AGENT_STOPPED") {
    return ended;
  }
  MG_ASSIGN_OR_RETURN(AgentPlace place, FindAgent(context.environment()));
  bool restarts = ReasonOf(ended) == "AGENT_RESTARTS";
  absl::Time until = absl::Now() + (restarts ? kRestarts : kStopped);
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ::inotify_add_watch(watch.get(), DirName(place.socket).c_str(), IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ATTRIB);
  for (;;) {
    absl::Status found = context.Agent(/*start=*/false).status();
    if (found.ok() || ReasonOf(found) != "AGENT_NOT_RUNNING") {
      return found;
    }
    // One that was killed leaves its socket; one that ends takes it along, and whoever restarts it starts the next: not
    // we, whose program may be the older one.
    if (!restarts && Exists(place.socket)) {
      return context.Agent(/*start=*/true).status();
    }
    if (absl::Now() >= until) {
      return restarts ? context.Agent(/*start=*/true).status()
                      : MakeError(absl::StatusCode::kUnavailable, "the agent was stopped, and what follows it ends",
                                  {.reason = "AGENT_STOPPED",
                                   .hint = "multigres agent start; the components went on meanwhile"});
    }
    WaitForChange(watch.get(), until);
  }
}

}  // namespace mg::cli
