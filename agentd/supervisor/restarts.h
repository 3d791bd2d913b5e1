/// When a component that ended is started again: full-jitter exponential back-off, reset by a healthy spell, and the
/// verdict that it loops. Values without a clock or a random source of their own; not locked.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "absl/time/time.h"
#include "agentd/supervisor/lifecycle.h"

namespace mg::supervisor {

enum class RestartPolicy { kAlways, kOnFailure, kNever };

/// "always", "on-failure", "never"; anything else is kAlways.
RestartPolicy ParseRestartPolicy(const std::string& word);

inline constexpr absl::Duration kFirstCeiling = absl::Milliseconds(500);
inline constexpr absl::Duration kBackoffCeiling = absl::Seconds(30);
/// Having run this long ends a row of failures.
inline constexpr absl::Duration kHealthySpell = absl::Seconds(10);
inline constexpr int kLoopEnds = 5;
inline constexpr absl::Duration kLoopWindow = absl::Seconds(60);
/// A looping component is tried again after between half of this and all of it.
inline constexpr absl::Duration kLoopPause = absl::Seconds(60);

struct Decision {
  Verdict verdict = Verdict::kRestart;
  absl::Duration delay = absl::ZeroDuration();
  std::string reason;  ///< why it is not started again, or only slowly; empty else
};

class RestartHistory {
 public:
  struct End {
    bool failed = true;  ///< a signal, or an exit status other than 0
    absl::Duration ran = absl::ZeroDuration();
    std::string permanent_cause;  ///< not empty: no start can succeed
  };
  /// Takes note of an end at `now` and decides. `random` is in [0, 1).
  Decision Decide(RestartPolicy policy, const End& end, absl::Time now, double random);
  /// Forgets everything: a command starts it afresh.
  void Reset();
  int ends_in_window() const { return static_cast<int>(ends_.size()); }

 private:
  std::deque<absl::Time> ends_;  ///< within the window
  int row_ = 0;                  ///< ends without a healthy spell between them
};

}  // namespace mg::supervisor
