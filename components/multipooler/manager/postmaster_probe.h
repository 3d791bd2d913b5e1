/// Whether the postmaster takes new connections, asked without a wait: backends that are there go on to answer while it
/// stands still. One thread.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/fs/unique_fd.h"
#include "common/process/process_id.h"
#include "components/multipooler/manager/serving_state.h"

namespace mg::multipooler {

class PostmasterProbe {
 public:
  /// A try every `interval`, and at once when the postmaster is stopped by a signal (a try costs PostgreSQL a process);
  /// one that has no answer after `limit` is a silent one. Tries nothing where PostgreSQL is reached by TCP: there the
  /// way may be at fault.
  PostmasterProbe(const PostgresEndpoint& postgres, absl::Duration interval, absl::Duration limit);

  /// Takes an answer, begins a try that is due; to be called when fd() is readable, and while a try is under way after
  /// pause() at the latest.
  /// `now` is of a clock that nobody sets. Time in which nobody called counts for little: this process may itself have
  /// stood still, and the postmaster with it.
  void Step(absl::Time now);
  /// PostgreSQL is another one, or away.
  void Reset();
  /// Ends the try under way. To be called before PostgreSQL is told to end: who has answered a question waits for the
  /// next word, and no signal reaches him, so he would hold the end up for as long as he may wait for a login.
  void LetGo();

  /// Two tries in a row were silent.
  bool frozen() const { return silent_ >= kSilentTries; }
  /// Of the try under way; -1: none.
  int fd() const { return socket_.get(); }
  bool trying() const { return trying_; }
  absl::Duration pause() const { return limit_ / 4; }

 private:
  static constexpr int kSilentTries = 2;

  void Ask();
  void Answered();

  const std::string socket_path_;
  const absl::Duration interval_;
  const absl::Duration limit_;
  ProcessId postmaster_;  ///< as the last try found it; none: not known
  bool trying_ = false;
  UniqueFd socket_;
  absl::Time next_ = absl::InfinitePast();
  absl::Time stepped_ = absl::InfinitePast();
  absl::Duration waited_;  ///< for the try under way
  int silent_ = 0;
};

}  // namespace mg::multipooler
