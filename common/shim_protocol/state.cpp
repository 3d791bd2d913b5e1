#include <poll.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/shim_protocol/shim.h"
#include "common/shim_record/record.h"

namespace mg::shim {
namespace {

LaunchSpec SpecFrom(const Record& record, const std::string& run_dir) {
  LaunchSpec spec;
  spec.name = record.Get("name");
  spec.run_dir = run_dir;
  spec.log_dir = record.Get("log_dir");
  spec.argv = record.GetAll("argv");
  spec.environment = record.GetAll("env");
  spec.working_directory = record.Get("cwd");
  spec.run_as = record.Get("run_as");
  spec.log_max_bytes = static_cast<std::uint64_t>(record.GetInt("log_max_bytes"));
  spec.log_max_files = static_cast<int>(record.GetInt("log_max_files"));
  spec.generation = record.GetInt("generation");
  return spec;
}

void Note(ShimState* state, const std::string& file, const std::string& problem) {
  if (!problem.empty() && problem != "absent") {
    absl::StrAppend(&state->problem, state->problem.empty() ? "" : "; ", file, ": ", problem);
  }
}

/// A shim that runs writes its identity anew for whoever connects; true when one did. Bounded.
bool AskForIdentity(const std::string& run_dir) {
  if (!Exists(JoinPath(run_dir, "control.sock"))) {
    return false;
  }
  absl::StatusOr<std::unique_ptr<ShimClient>> client = ShimClient::Connect(run_dir, absl::Seconds(1));
  pollfd greeting = {client.ok() ? (*client)->fd() : -1, POLLIN, 0};
  return client.ok() && ::poll(&greeting, 1, 1000) > 0;
}

}  // namespace

ShimState ReadShimState(const std::string& run_dir) {
  ShimState state;
  auto [launch, launch_problem] = ReadRecord(JoinPath(run_dir, "launch"));
  Note(&state, "launch", launch_problem);
  if (launch_problem.empty()) {
    state.launch = SpecFrom(launch, run_dir);
  }
  auto [identity, identity_problem] = ReadRecord(JoinPath(run_dir, "identity"));
  if (!identity_problem.empty() && AskForIdentity(run_dir)) {
    std::tie(identity, identity_problem) = ReadRecord(JoinPath(run_dir, "identity"));
  }
  Note(&state, "identity", identity_problem);
  std::int64_t generation = launch.GetInt("generation", -1);
  if (identity_problem.empty()) {
    ProcessId shim{.pid = static_cast<pid_t>(identity.GetInt("shim_pid")),
                   .start_ticks = static_cast<std::uint64_t>(identity.GetInt("shim_start")),
                   .boot_id = identity.Get("boot_id")};
    ProcessId child{.pid = static_cast<pid_t>(identity.GetInt("child_pid")),
                    .start_ticks = static_cast<std::uint64_t>(identity.GetInt("child_start")),
                    .boot_id = identity.Get("boot_id")};
    state.shim_alive = IsAlive(shim);
    if (!state.shim_alive) {
      ReapIfOurs(shim);
    }
    state.child_alive = IsAlive(child);
    state.shim = shim;
    state.child = child;
  }
  auto [exit, exit_problem] = ReadRecord(JoinPath(run_dir, "exit"));
  Note(&state, "exit", exit_problem);
  std::int64_t between = std::max<std::int64_t>(0, exit.GetInt("ended_ns") - exit.GetInt("started_ns"));
  if (exit_problem.empty() && (generation < 0 || exit.GetInt("generation") == generation)) {
    state.exit = ExitRecord{.exit_code = static_cast<int>(exit.GetInt("exit_code")),
                            .signal = static_cast<int>(exit.GetInt("signal")),
                            .started = absl::FromUnixNanos(exit.GetInt("started_ns")),
                            .ended = absl::FromUnixNanos(exit.GetInt("ended_ns")),
                            .ran = absl::Nanoseconds(exit.GetInt("ran_ns", between)),
                            .generation = exit.GetInt("generation")};
  }
  return state;
}

std::vector<ShimState> ReadShimStates(const std::vector<std::string>& run_dirs) {
  constexpr size_t kEach = 64;  // fewer are read before another thread has begun
  std::vector<ShimState> states(run_dirs.size());
  std::atomic<size_t> next = 0;
  auto read = [&] {
    for (size_t i = next++; i < run_dirs.size(); i = next++) {
      states[i] = ReadShimState(run_dirs[i]);
    }
  };
  std::vector<std::thread> others(
      std::min<size_t>(run_dirs.size() / kEach, std::max(std::thread::hardware_concurrency(), 1u) - 1));
  for (std::thread& other : others) {
    other = std::thread(read);
  }
  read();
  for (std::thread& other : others) {
    other.join();
  }
  return states;
}

}  // namespace mg::shim
