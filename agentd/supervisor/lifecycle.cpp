#include "agentd/supervisor/lifecycle.h"

namespace mg::supervisor {
namespace {

Transition AfterEnd(const Facts& facts) {
  if (!facts.wanted) {
    return {State::kStopped};
  }
  // Whoever attends it reports the end, and decides.
  if (facts.attended || facts.verdict == Verdict::kLeave) {
    return {State::kFailed};
  }
  return {facts.verdict == Verdict::kCrashLoop ? State::kCrashLooping : State::kWaiting, Action::kArm};
}

Transition WhenWanted(State state, const Facts& facts) {
  switch (state) {
    case State::kStarting:
    case State::kRunning:
    case State::kUnready:
      return {state};  // it runs already
    case State::kStopping:
      return {state};  // its end decides: it is wanted again by then
    case State::kStopped:
    case State::kWaiting:
    case State::kCrashLooping:
    case State::kFailed:
      return facts.attended ? Transition{State::kStarting} : Transition{State::kWaiting, Action::kArm};
  }
  return {state};
}

}  // namespace

Transition Next(State state, Event event, const Facts& facts) {
  switch (event) {
    case Event::kWanted:
      return WhenWanted(state, facts);
    case Event::kUnwanted:
      return HasProcess(state) ? Transition{State::kStopping, state == State::kStopping ? Action::kNone : Action::kStop}
                               : Transition{State::kStopped};
    case Event::kLaunched:
      // One that came up though nobody wants it any more is ended.
      if (!facts.wanted && !facts.attended) {
        return {State::kStopping, Action::kStop};
      }
      return {state == State::kRunning || state == State::kUnready ? state : State::kStarting};
    case Event::kReady:
      return {state == State::kStarting || state == State::kUnready ? State::kRunning : state};
    case Event::kNotReady:
      return {state == State::kRunning ? State::kUnready : state};
    case Event::kHung:
      if ((state == State::kStarting && !facts.attended) || state == State::kRunning || state == State::kUnready) {
        bool replace = facts.restart_hung && facts.wanted && !facts.attended;
        return replace ? Transition{State::kStopping, Action::kReplace} : Transition{State::kUnready};
      }
      return {state};
    case Event::kEnded:
      // Told of the same end twice: the first time counts.
      return HasProcess(state) ? AfterEnd(facts) : Transition{state};
    case Event::kDue:
      if (state != State::kWaiting && state != State::kCrashLooping) {
        return {state};
      }
      return facts.wanted ? Transition{State::kStarting, Action::kLaunch} : Transition{State::kStopped};
    case Event::kReleased:
      if (state == State::kFailed) {
        return AfterEnd(facts);
      }
      if (state == State::kWaiting || state == State::kCrashLooping) {
        return facts.wanted ? Transition{state, Action::kArm} : Transition{State::kStopped};
      }
      return {state};
  }
  return {state};
}

const char* WordOf(State state) {
  switch (state) {
    case State::kStopped:
      return "stopped";
    case State::kStarting:
      return "starting";
    case State::kRunning:
      return "running";
    case State::kUnready:
      return "unready";
    case State::kStopping:
      return "stopping";
    case State::kWaiting:
      return "waiting";
    case State::kCrashLooping:
      return "crash-looping";
    case State::kFailed:
      return "failed";
  }
  return "";
}

bool HasProcess(State state) {
  return state == State::kStarting || state == State::kRunning || state == State::kUnready || state == State::kStopping;
}

}  // namespace mg::supervisor
