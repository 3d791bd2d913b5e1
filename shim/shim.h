/// One component's keeper: starts it, keeps its output, carries out what its clients say, records how it ended and
/// leaves nobody of its tree behind. One thread, one loop over poll.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/cri/cri_writer.h"
#include "common/fs/unique_fd.h"
#include "common/shim_record/record.h"
#include "shim/child.h"
#include "shim/control.h"
#include "shim/pump.h"

namespace mg::shim {

/// Descriptors that the launcher gives: where the answer goes, and the held lock on <run dir>/launch.lock.
inline constexpr int kReadyFd = 3;
inline constexpr int kLockFd = 4;

class Shim {
 public:
  explicit Shim(std::string run_dir) : run_dir_(std::move(run_dir)) {}
  /// Until the component and its tree are gone. The program's exit status.
  int Run();

 private:
  /// What failed, for the launcher: `error <errno> <text>`; empty: it runs.
  std::string StartUp();
  std::string TakeLock();
  std::string TakeSignals();
  int WriteIdentity();

  void Turn();
  void Reap();
  void ReadSignals();
  void Serve();
  void Take(const Command& command);
  void NextStep();
  void SignalAll(int signal);
  /// Also whoever was forked since the look: the group is killed as one.
  void KillTree();
  /// What is left to do once the component itself has ended.
  void WindUp();
  void Tell();
  int PollTimeout() const;
  bool PipesEnded() const { return !child_.out.valid() && !child_.err.valid(); }
  bool Done() const { return told_ && tree_gone_ && PipesEnded(); }

  const std::string run_dir_;
  Record launch_;
  std::int64_t generation_ = 0;
  std::vector<Step> default_ladder_;  ///< for a SIGTERM to the shim itself
  logs::CriWriter* log_ = nullptr;
  Pump pump_;
  Control control_;
  Child child_;
  std::string group_;  ///< control group of the component's tree; empty: none
  UniqueFd lock_, signals_;
  bool child_ended_ = false, tree_gone_ = false, told_ = false;
  int exit_code_ = 0, exit_signal_ = 0;
  std::int64_t started_ns_ = 0, ended_ns_ = 0;  ///< by the wall clock
  std::int64_t started_monotonic_ = 0, ran_ns_ = 0;
  std::vector<Step> ladder_;
  // Monotonic nanoseconds; 0: not under way.
  std::int64_t step_deadline_ = 0;
  std::int64_t stray_deadline_ = 0;  ///< when the rest of the tree gets SIGKILL
  std::int64_t drain_deadline_ = 0;  ///< when pipes that somebody holds open are given up
  std::int64_t tell_deadline_ = 0;   ///< when the end is told though some of the tree live
  std::int64_t tidy_deadline_ = 0;   ///< when the memory of the last output is given back
  std::int64_t leave_deadline_ = 0;  ///< when processes that nothing can end are left to the system
};

}  // namespace mg::shim
