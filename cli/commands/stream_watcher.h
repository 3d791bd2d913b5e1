/// Ctrl-C, and a server that does not end what it was asked for in time, while a command reads a stream.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/commands/context.h"
#include "cli/output/progress.h"
#include "common/fs/unique_fd.h"

namespace mg::cli {

/// Blocks SIGINT and SIGTERM for this thread and those it starts; call before anybody is dialled, so that only a
/// StreamWatcher sees them.
void HoldSignals();

/// Context::Confirm after HoldSignals: an interrupt at the question ends the program.
absl::StatusOr<bool> ConfirmWithSignals(const Context& context, const std::string& question);

/// Watches, and keeps the progress display's clocks going, on a thread of its own until it is destroyed. What the hooks
/// use must live as long. A second interrupt ends the program.
class StreamWatcher {
 public:
  /// Both are called once at most, on the watcher's thread.
  struct Hooks {
    std::function<void()> interrupted;
    std::function<void()> stuck;
  };

  StreamWatcher(Context& context, ProgressView& view, absl::Time stuck_at, Hooks hooks);
  ~StreamWatcher();
  StreamWatcher(const StreamWatcher&) = delete;
  StreamWatcher& operator=(const StreamWatcher&) = delete;

  bool interrupted() const { return interrupted_; }
  bool timed_out() const { return timed_out_; }

 private:
  void Run();
  int Period() const;

  ProgressView& view_;
  const absl::Time stuck_at_;
  const int period_;  ///< milliseconds between redraws; -1: none
  const Hooks hooks_;
  UniqueFd stop_, signals_;
  std::atomic<bool> interrupted_ = false;
  std::atomic<bool> timed_out_ = false;
  std::thread thread_;
};

}  // namespace mg::cli
