/// The life of one component as a state machine: the only place that says what state follows which. Pure values; the
/// supervisor carries out the actions. docs/architecture.md shows the table; lifecycle_test.cpp goes over all of it.
#pragma once

#include <string>

namespace mg::supervisor {

/// What is observed. What is desired stands beside it (Facts::wanted), so that neither hides the other.
enum class State {
  kStopped,       ///< nothing runs, and nothing should
  kStarting,      ///< a process was or is being launched; it has not answered yet
  kRunning,       ///< it runs and answers
  kUnready,       ///< it runs, answered before, and does not now
  kStopping,      ///< it was told to end
  kWaiting,       ///< it ended; the next start comes after a back-off
  kCrashLooping,  ///< it ends again and again; tried slowly
  kFailed,        ///< it ended and is not started again without a command
};

enum class Event {
  kWanted,    ///< a command: it should run
  kUnwanted,  ///< a command: it should not run
  kLaunched,  ///< its process runs (launched now, or found)
  kReady,     ///< its readiness probe succeeds
  kNotReady,  ///< its readiness probe failed once
  kHung,      ///< it has not answered for longer than its bound
  kEnded,     ///< its process ended, or could not be launched
  kDue,       ///< the back-off is over
  kReleased,  ///< the operation that attended it is over
};

enum class Action {
  kNone,
  kLaunch,   ///< launch now; only ever after kDue
  kArm,      ///< wait until it is due: at once, or when the back-off is over
  kStop,     ///< end it by its ladder
  kReplace,  ///< end it by its ladder; what follows is decided when it has ended
};

/// What an end means, decided by the policy and the history (restarts.h).
enum class Verdict { kRestart, kCrashLoop, kLeave };

struct Facts {
  bool wanted = false;                  ///< after the event
  bool attended = false;                ///< an operation launches it and waits for it: the loop leaves it alone
  Verdict verdict = Verdict::kRestart;  ///< for kEnded
  bool restart_hung = true;             ///< the policy lets a hung one be replaced
};

struct Transition {
  State state;
  Action action = Action::kNone;
  bool operator==(const Transition&) const = default;
};

Transition Next(State state, Event event, const Facts& facts);

/// "running", "crash-looping" …
const char* WordOf(State state);
/// A process is or may be there.
bool HasProcess(State state);

}  // namespace mg::supervisor
