#include "common/shim_protocol/internal.h"

#include <poll.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/cgroup/cgroup.h"
#include "common/process/scan.h"
#include "common/shim_record/record.h"

namespace mg::shim {
namespace {

constexpr int kGroupBound = 2000;  // ms

}  // namespace

std::string FormatStep(const StopStep& step) {
  return absl::StrCat(step.signal, ":", absl::ToInt64Milliseconds(step.wait), ":", step.whole_tree ? 1 : 0);
}

int MillisecondsUntil(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) {
    return -1;
  }
  // Rounded up: a deadline is never missed by looking too early and too often.
  std::int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now() + absl::Microseconds(999));
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30));
}

bool WaitGone(const ProcessId& id, absl::Time deadline) {
  absl::StatusOr<UniqueFd> fd = OpenPidfd(id);
  if (!fd.ok()) {
    return true;
  }
  for (;;) {
    pollfd wait = {fd->get(), POLLIN, 0};
    int ready = ::poll(&wait, 1, MillisecondsUntil(deadline));
    if (ready >= 0) {
      return ready > 0;
    }
  }
}

void EndLeftovers(const std::string& run_dir, const ShimState& state) {
  if (!state.shim.has_value() || state.shim_alive || state.exit.has_value() || state.shim->boot_id != BootId()) {
    return;
  }
  // The group has everybody; without one, whoever still has the mark that the shim gave its component.
  auto [identity, problem] = ReadRecord(run_dir + "/identity");
  if (problem.empty()) {
    (void)cgroup::KillAndRemove(identity.Get("cgroup"), kGroupBound);
  }
  std::vector<ProcessId> left = ProcessesWithEnvironment(kRunDirVariable + run_dir);
  for (const ProcessId& id : left) {
    // NOT_FOUND: it has ended by itself; what may not be signalled is another user's, not ours.
    (void)SignalProcess(id, SIGKILL);
  }
  absl::Time deadline = absl::Now() + absl::Seconds(2);
  for (const ProcessId& id : left) {
    (void)WaitGone(id, deadline);
  }
}

void EndLeftovers(const std::string& run_dir) { EndLeftovers(run_dir, ReadShimState(run_dir)); }

}  // namespace mg::shim
