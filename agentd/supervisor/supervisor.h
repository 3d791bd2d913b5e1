/// The knowledge of which processes run, and the loop that keeps them as they are wanted: launches components through
/// their shims, adopts those that an earlier agent launched, sees their ends, starts again what ended (lifecycle.h,
/// restarts.h), stops them. The files of a run directory are the truth (common/shim_protocol); what is kept here is who
/// wanted what. A component is known by its run directory.
///
/// One thread waits for news of all shims and for what is due; a few more, made when needed, launch and stop. Any
/// thread may call; Start, Stop, Attend and ExpectEnd block.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/supervisor/lifecycle.h"
#include "agentd/supervisor/restarts.h"
#include "common/clock/clock.h"
#include "common/fs/unique_fd.h"
#include "common/shim_protocol/shim.h"

namespace mg::supervisor {

/// A component as events name it.
struct Watched {
  std::string cluster, component;
  std::string run_dir;
};

/// How a component is looked after. The functions are called from the supervisor's threads, without a lock held.
struct Care {
  RestartPolicy policy = RestartPolicy::kAlways;
  /// One that hangs is ended and started again; else it is only shown.
  bool restart_hung = true;
  /// Silence that is taken for a hang.
  absl::Duration hung_after = absl::Seconds(15);
  /// The same for one that has not answered since it was launched.
  absl::Duration starting_bound = absl::Seconds(30);
  std::vector<shim::StopStep> ladder;
  /// The number of its next start, already on disk.
  std::function<absl::StatusOr<std::int64_t>()> next_generation;
  /// What to launch when neither this agent launched it nor its launch file can be read.
  std::function<absl::StatusOr<shim::LaunchSpec>()> make_spec;
  /// Why no start can succeed; empty: one may. Asked after an early end.
  std::function<std::string(const shim::ShimState&)> permanent_cause;
  /// What it wrote last, shortened to go into a sentence; empty: nothing. Asked when it is given up, or loops.
  std::function<std::string()> last_words;
};

/// What happened to a component.
struct News {
  std::string type;  ///< stable word: started, adopted, ready, unready, not-answering, exited, restarting, crash-loop,
                     ///< failed, stopping, stopped
  Watched who;
  std::string message;  ///< one sentence
  absl::Duration ran = absl::ZeroDuration();
};

/// What a probe found.
struct Answer {
  absl::Status ready;    ///< of the readiness probe; while it starts, of the start-up probe
  bool alive = true;     ///< it answered, whatever it said
  bool stopped = false;  ///< its process was stopped by a signal: no answer can come
};

/// How a component stands in the loop.
struct View {
  State state = State::kStopped;
  bool wanted = true;
  bool cared = false;
  std::optional<ProcessId> process;         ///< watched now; unset: none is
  bool observed = false;                    ///< its process is or was watched by this agent
  std::string reason;                       ///< why it waits or failed, or does not answer; empty else
  absl::Time since;                         ///< when the state was entered, by the wall
  absl::Time due = absl::InfiniteFuture();  ///< next start, by the wall as it stands now
  int ends = 0;                             ///< within the last minute
  std::optional<shim::ExitRecord> last_exit;
};

/// "exited with status 1", "was killed by signal 9 (Killed)".
std::string DescribeExit(const shim::ExitRecord& exit);

class Supervisor {
 public:
  /// `sink` is called from any thread, without a lock held. `clock` must outlive it.
  Supervisor(std::string shim_path, std::function<void(const News&)> sink, const Clock& clock = SystemClock());
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// From now on the loop keeps it running (or, not wanted, stopped). Nothing is started here: Start does, or Adopt
  /// finds it, or, when it does not run, Resume starts it.
  void TakeCare(const Watched& who, Care care, bool wanted = true);
  /// Somebody else starts it, and it should run: its end is a failure, but nothing here follows it. One that hangs for
  /// `hung_after` is ended by the ladder, for whoever starts it cannot do that; infinite: it is only shown.
  void OnlyWatch(const Watched& who, bool wanted, absl::Duration hung_after, std::vector<shim::StopStep> ladder);
  /// Starts a component in care that does not run, as after its end; nothing when it runs.
  void Resume(const Watched& who);

  /// A start of what should run failed, before there was a process to watch: the loop goes on with it.
  void KeepWanted(const Watched& who);

  /// Launches, unless it runs. Errors as shim::Launch, except that a running component is a success.
  absl::StatusOr<shim::ShimState> Start(const Watched& who, const shim::LaunchSpec& spec);
  /// Watches what runs in the directory, if anything does; `announce`: it was found, so it is an event, and what a
  /// killed shim left behind is ended.
  shim::ShimState Adopt(const Watched& who, bool announce);
  /// Stops by the ladder and waits until process and shim are gone. Nothing running is success. It is not wanted any
  /// more then.
  absl::Status Stop(const Watched& who, const std::vector<shim::StopStep>& ladder);
  /// It is not wanted from now on: its end is no failure, and it is not started again. Waits for a launch of the loop
  /// that is under way.
  void ExpectEnd(const std::string& run_dir);
  /// Forgets everything of a component that is gone for good.
  void Forget(const std::string& run_dir);

  /// As long as it lives, the loop leaves a component to the caller, who starts it, waits for it and reports its end.
  class Attendance {
   public:
    Attendance(Supervisor* supervisor, std::string run_dir);
    ~Attendance();
    Attendance(const Attendance&) = delete;
    Attendance& operator=(const Attendance&) = delete;

   private:
    Supervisor* const supervisor_;
    const std::string run_dir_;
  };

  void Report(const std::string& run_dir, const Answer& answer);

  /// It is being stopped at this moment.
  bool IsStopping(const std::string& run_dir) const;
  View Look(const std::string& run_dir) const;
  /// Waits until the component's end is seen, at most until `until`; true when it has ended.
  bool WaitForEnd(const std::string& run_dir, absl::Time until);
  /// It was watched, and its end was seen.
  bool HasEnded(const std::string& run_dir) const;
  /// Wakes every WaitForEnd (when an operation is cancelled), and has the loop look at its clock.
  void Wake();

 private:
  struct Entry {
    Watched who;
    Care care;
    bool cared = false, wanted = true, stopping = false;
    int attended = 0;
    int busy = 0;  ///< jobs of the loop's threads for it
    bool seen = false;
    std::int64_t life = 0, ended_life = 0;  ///< counts the processes that were watched, so that an end is seen once
    State state = State::kStopped;
    std::string reason;
    absl::Time since = absl::InfinitePast();  ///< by the wall; the other times by the steady clock
    absl::Time due = absl::InfiniteFuture();
    absl::Time silent_since = absl::InfiniteFuture();
    absl::Time launched = absl::InfinitePast();
    bool answered = false;  ///< since it was launched
    RestartHistory history;
    shim::LaunchSpec spec;  ///< of its last launch, where known
    std::optional<shim::ExitRecord> last_exit;
    // One of both while it is watched: its shim tells of its end, or, where the shim is gone, the kernel does.
    std::unique_ptr<shim::ShimClient> client;
    UniqueFd child;                    ///< pidfd
    std::optional<ProcessId> process;  ///< that is watched
    bool watched() const { return client != nullptr || child.valid(); }
    int fd() const { return client != nullptr ? client->fd() : child.get(); }
  };

  Entry& EntryOf(const Watched& who);
  /// Makes the transition; its news is added to `news`. The only place where a state changes.
  Action Apply(Entry* entry, Event event, std::vector<News>* news, Verdict verdict = Verdict::kRestart);
  /// Has the action carried out by the loop.
  void Carry(Entry* entry, Action action);
  void Watch(const Watched& who, const shim::ShimState& state, bool announce, std::vector<News>* news);
  void Unwatch(Entry* entry);
  void Run();
  int WaitMilliseconds();
  /// Runs on a worker; the entry stays busy until it has ended.
  void Queue(Entry* entry, std::function<void()> job);
  void Work();
  void Release(const std::string& run_dir);
  void OnEnd(const std::string& run_dir, std::int64_t life);
  void OnDue(const std::string& run_dir);
  void Replace(const std::string& run_dir, std::int64_t life, const std::vector<shim::StopStep>& ladder);
  Decision Judge(const std::string& run_dir, const shim::ShimState& state);
  /// " and wrote: …", for a reason; empty when it wrote nothing.
  std::string LastWords(const std::string& run_dir);
  void Tell(const std::vector<News>& news);
  void WakeLoop();

  const std::string shim_path_;
  const std::function<void(const News&)> sink_;
  const Clock& clock_;
  UniqueFd epoll_, wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t wakes_ = 0;
  std::map<std::string, Entry> entries_;      ///< by run directory
  std::map<int, std::string> run_dir_of_fd_;  ///< of the clients that epoll watches
  std::mt19937_64 random_{std::random_device{}()};
  bool ending_ = false;
  std::condition_variable work_;
  std::deque<std::function<void()>> jobs_;
  int idle_ = 0;
  std::vector<std::thread> workers_;
  std::thread thread_;
};

}  // namespace mg::supervisor
