/// Asks every component that runs, now and then, whether it answers, and tells the supervisor; sees PostgreSQL servers
/// that their pgctld started. One thread, which sleeps when nothing runs: a round every few seconds asks all at once
/// over one connection each, so that it costs next to nothing. What just started is asked more often until it answers.
/// Also makes the supervisor's Care of a spec. Any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/supervisor/supervisor.h"
#include "common/clock/clock.h"

namespace mg::local {

class Watchman {
 public:
  /// Both must outlive it; `clock` is the supervisor's.
  explicit Watchman(supervisor::Supervisor* supervisor, const Clock& clock = SystemClock())
      : supervisor_(supervisor), clock_(clock) {}
  ~Watchman() { Stop(); }
  /// Nothing is asked any more.
  void Stop();
  Watchman(const Watchman&) = delete;
  Watchman& operator=(const Watchman&) = delete;

  using MakeSpec = std::function<absl::StatusOr<shim::LaunchSpec>()>;
  /// The component is looked after from now on: asked, and kept as it is wanted. `make_spec` as in supervisor::Care.
  void TakeCare(const Model& model, const v1::ComponentSpec& spec, MakeSpec make_spec = nullptr, bool wanted = true);
  /// All components of a cluster are gone for good.
  void Forget(const std::string& cluster);
  /// One component is gone for good.
  void ForgetComponent(const std::string& run_dir);
  /// Something was started, or the clock was moved: look soon.
  void Poke();

 private:
  struct Charge {
    supervisor::Watched who;
    v1::ComponentSpec spec;
    absl::Time next = absl::InfinitePast();
    absl::Duration pause = absl::ZeroDuration();
  };
  void Run();
  /// Asks what is due; the time of the next round.
  absl::Time Round(absl::Time now);

  supervisor::Supervisor* const supervisor_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Charge> charges_;  ///< by run directory
  bool poked_ = false, ending_ = false;
  std::thread thread_;
};

/// The component's name for the supervisor.
supervisor::Watched WatchedOf(const Model& model, const std::string& component);
/// The ladder of a spec as the shim takes it.
std::vector<shim::StopStep> LadderOf(const v1::ComponentSpec& spec);

}  // namespace mg::local
