/// The knowledge of which processes run: launches components through their shims, adopts those that an earlier agent
/// launched, sees their ends, stops them. The files of a run directory are the truth (common/shim_protocol); what is
/// kept here is who wanted what, so that an end can be told from a failure. A component is known by its run directory.
///
/// One thread waits for news of all shims. Any thread may call; Start and Stop block. A policy that restarts what fails
/// at run time belongs here (see OnEnd in supervisor.cpp); today `up` repairs.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fs/unique_fd.h"
#include "common/shim_protocol/shim.h"

namespace mg::supervisor {

/// A component as events name it.
struct Watched {
  std::string cluster, component;
  std::string run_dir;
};

/// What happened to a component.
struct Event {
  enum class Type { kStarted, kAdopted, kStopped, kExited };
  Type type;
  Watched who;
  std::string message;  ///< one sentence
  absl::Duration ran = absl::ZeroDuration();
};

/// "exited with status 1", "was killed by signal 9 (Killed)".
std::string DescribeExit(const shim::ExitRecord& exit);

class Supervisor {
 public:
  /// `sink` is called from any thread, without a lock held.
  Supervisor(std::string shim_path, std::function<void(const Event&)> sink);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Launches, unless it runs. Errors as shim::Launch, except that a running component is a success.
  absl::StatusOr<shim::ShimState> Start(const Watched& who, const shim::LaunchSpec& spec);
  /// Watches what runs in the directory, if anything does; `announce` makes it an event.
  shim::ShimState Adopt(const Watched& who, bool announce);
  /// Stops by the ladder and waits until process and shim are gone. Nothing running is success.
  absl::Status Stop(const Watched& who, const std::vector<shim::StopStep>& ladder);
  /// Its end, from now on, is wanted: no failure.
  void ExpectEnd(const std::string& run_dir);
  /// It is being stopped at this moment.
  bool IsStopping(const std::string& run_dir) const;

  /// Waits until the component's end is seen, at most until `until`; true when it has ended.
  bool WaitForEnd(const std::string& run_dir, absl::Time until);
  /// It was watched, and its end was seen.
  bool HasEnded(const std::string& run_dir) const;
  /// Wakes every WaitForEnd (when an operation is cancelled).
  void Wake();

 private:
  struct Entry {
    Watched who;
    std::unique_ptr<shim::ShimClient> client;
    bool expected = false;
    bool stopping = false;
  };
  void Watch(const Watched& who, std::int64_t generation);
  void Run();
  void OnEnd(const std::string& run_dir);
  void Tell(Event::Type type, const Watched& who, std::string message, absl::Duration ran = absl::ZeroDuration());

  const std::string shim_path_;
  const std::function<void(const Event&)> sink_;
  UniqueFd epoll_, wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t wakes_ = 0;
  std::map<std::string, Entry> entries_;      ///< by run directory
  std::map<int, std::string> run_dir_of_fd_;  ///< of the clients that epoll watches
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace mg::supervisor
