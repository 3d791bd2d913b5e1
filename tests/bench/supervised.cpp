// Drives the agent's supervisor with many processes that only sleep, for bench.py: how long it takes to start them all
// and to look at them all, what idling costs, how large the supervisor and one shim are, and how soon a killed one runs
// again. Prints one line of name=value pairs.
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/supervisor/supervisor.h"
#include "common/fs/fs.h"

namespace mg {
namespace {

constexpr int kThreads = 4;

double Milliseconds(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

/// Sum of some lines of smaps_rollup, in kB.
long Memory(pid_t pid, const std::vector<std::string>& names) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/smaps_rollup"));
  std::string word;
  long value = 0, sum = 0;
  while (file >> word) {
    if (std::find(names.begin(), names.end(), word) != names.end() && file >> value) {
      sum += value;
    }
  }
  return sum;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void ForAll(int count, const std::function<void(size_t)>& act) {
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < count; i = next++) {
        act(static_cast<size_t>(i));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

/// Told of every start, so that nothing polls.
struct Starts {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> count;  ///< by run directory
};

int Run(const std::string& shim, const std::string& root, int count, int kills, int idle_seconds) {
  Starts starts;
  std::atomic<bool> failed = false;
  supervisor::Supervisor supervisor(shim, [&](const supervisor::News& news) {
    if (news.type == "started") {
      std::lock_guard lock(starts.mutex);
      ++starts.count[news.who.run_dir];
      starts.changed.notify_all();
    }
  });
  std::vector<supervisor::Watched> all;
  for (int i = 0; i < count; ++i) {
    std::string base = absl::StrCat(root, "/", i);
    if (!MakeDirectories(base + "/run", 0700).ok() || !MakeDirectories(base + "/log", 0700).ok()) {
      return 1;
    }
    all.push_back({.cluster = "bench", .component = absl::StrCat("sleep/", i), .run_dir = base + "/run"});
  }
  std::vector<std::atomic<std::int64_t>> generations(all.size());
  absl::Time began = absl::Now();
  ForAll(count, [&](size_t i) {
    shim::LaunchSpec spec;
    spec.name = all[i].component;
    spec.run_dir = all[i].run_dir;
    spec.log_dir = absl::StrCat(root, "/", i, "/log");
    spec.argv = {"/bin/sleep", "100000"};
    spec.environment = {"PATH=/bin"};
    spec.working_directory = root;
    spec.generation = ++generations[i];
    supervisor::Care care;
    care.next_generation = [&generations, i]() -> absl::StatusOr<std::int64_t> { return ++generations[i]; };
    supervisor.TakeCare(all[i], std::move(care));
    failed = failed || !supervisor.Start(all[i], spec).ok();
  });
  double start_ms = Milliseconds(absl::Now() - began) / count;
  began = absl::Now();
  int alive = 0;
  std::vector<std::string> run_dirs;
  for (const supervisor::Watched& who : all) {
    run_dirs.push_back(who.run_dir);
  }
  for (const shim::ShimState& state : shim::ReadShimStates(run_dirs)) {
    alive += state.child_alive ? 1 : 0;
  }
  double status_ms = Milliseconds(absl::Now() - began);
  double cpu = CpuSeconds();
  ::poll(nullptr, 0, idle_seconds * 1000);  // the measurement itself: what idling costs in this time
  double idle_percent = (CpuSeconds() - cpu) / std::max(idle_seconds, 1) * 100;
  std::vector<double> restarts;
  for (int i = 0; i < std::min(kills, count); ++i) {
    const std::string& run_dir = all[static_cast<size_t>(i)].run_dir;
    shim::ShimState state = shim::ReadShimState(run_dir);
    absl::Time killed = absl::Now();
    if (!state.child_alive || ::kill(state.child->pid, SIGKILL) != 0) {
      failed = true;
      continue;
    }
    std::unique_lock lock(starts.mutex);
    if (starts.changed.wait_for(lock, std::chrono::seconds(10), [&] { return starts.count[run_dir] >= 2; })) {
      restarts.push_back(Milliseconds(absl::Now() - killed));
    } else {
      failed = true;
    }
  }
  std::sort(restarts.begin(), restarts.end());
  shim::ShimState first = shim::ReadShimState(all[0].run_dir);
  long shim_kb = first.shim ? Memory(first.shim->pid, {"Private_Clean:", "Private_Dirty:"}) : 0;
  std::printf(
      "alive=%d start_ms=%.3f status_ms=%.3f idle_percent=%.3f pss_kb=%ld shim_private_kb=%ld restart_ms=%.3f\n", alive,
      start_ms, status_ms, idle_percent, Memory(::getpid(), {"Pss:"}), shim_kb,
      restarts.empty() ? 0.0 : restarts[restarts.size() / 2]);
  std::fflush(stdout);
  ForAll(count, [&](size_t i) { failed = failed || !supervisor.Stop(all[i], {{.signal = SIGKILL}}).ok(); });
  return failed || alive != count ? 1 : 0;
}

}  // namespace
}  // namespace mg

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: %s SHIM DIRECTORY COUNT KILLS IDLE_SECONDS\n", argv[0]);
    return 2;
  }
  return mg::Run(argv[1], argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]));
}
