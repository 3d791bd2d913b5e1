#include "agentd/supervisor/lifecycle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "agentd/supervisor/restarts.h"

namespace mg::supervisor {
namespace {

constexpr State kStates[] = {State::kStopped,  State::kStarting, State::kRunning,      State::kUnready,
                             State::kStopping, State::kWaiting,  State::kCrashLooping, State::kFailed};
constexpr Event kEvents[] = {Event::kWanted, Event::kUnwanted, Event::kLaunched, Event::kReady,   Event::kNotReady,
                             Event::kHung,   Event::kEnded,    Event::kDue,      Event::kReleased};

/// One row of the table in docs/architecture.md: state and action after each event, in the order of kEvents, for a
/// component that is wanted (unwanted after kUnwanted), is not attended, and whose ends are followed by a restart.
const std::map<State, std::vector<Transition>>& Table() {
  using S = State;
  using A = Action;
  static const auto* const kTable = new std::map<State, std::vector<Transition>>{
      {S::kStopped,
       {{S::kWaiting, A::kArm},
        {S::kStopped},
        {S::kStarting},
        {S::kStopped},
        {S::kStopped},
        {S::kStopped},
        {S::kStopped},
        {S::kStopped},
        {S::kStopped}}},
      {S::kStarting,
       {{S::kStarting},
        {S::kStopping, A::kStop},
        {S::kStarting},
        {S::kRunning},
        {S::kStarting},
        {S::kStopping, A::kReplace},
        {S::kWaiting, A::kArm},
        {S::kStarting},
        {S::kStarting}}},
      {S::kRunning,
       {{S::kRunning},
        {S::kStopping, A::kStop},
        {S::kRunning},
        {S::kRunning},
        {S::kUnready},
        {S::kStopping, A::kReplace},
        {S::kWaiting, A::kArm},
        {S::kRunning},
        {S::kRunning}}},
      {S::kUnready,
       {{S::kUnready},
        {S::kStopping, A::kStop},
        {S::kUnready},
        {S::kRunning},
        {S::kUnready},
        {S::kStopping, A::kReplace},
        {S::kWaiting, A::kArm},
        {S::kUnready},
        {S::kUnready}}},
      {S::kStopping,
       {{S::kStopping},
        {S::kStopping},
        {S::kStarting},
        {S::kStopping},
        {S::kStopping},
        {S::kStopping},
        {S::kWaiting, A::kArm},
        {S::kStopping},
        {S::kStopping}}},
      {S::kWaiting,
       {{S::kWaiting, A::kArm},
        {S::kStopped},
        {S::kStarting},
        {S::kWaiting},
        {S::kWaiting},
        {S::kWaiting},
        {S::kWaiting},
        {S::kStarting, A::kLaunch},
        {S::kWaiting, A::kArm}}},
      {S::kCrashLooping,
       {{S::kWaiting, A::kArm},
        {S::kStopped},
        {S::kStarting},
        {S::kCrashLooping},
        {S::kCrashLooping},
        {S::kCrashLooping},
        {S::kCrashLooping},
        {S::kStarting, A::kLaunch},
        {S::kCrashLooping, A::kArm}}},
      {S::kFailed,
       {{S::kWaiting, A::kArm},
        {S::kStopped},
        {S::kStarting},
        {S::kFailed},
        {S::kFailed},
        {S::kFailed},
        {S::kFailed},
        {S::kFailed},
        {S::kWaiting, A::kArm}}},
  };
  return *kTable;
}

TEST(Lifecycle, EveryStateAndEvent_IsAsTheTableSays) {
  for (State state : kStates) {
    for (size_t i = 0; i < std::size(kEvents); ++i) {
      Facts facts{.wanted = kEvents[i] != Event::kUnwanted};
      Transition next = Next(state, kEvents[i], facts);
      EXPECT_EQ(next, Table().at(state)[i]) << WordOf(state) << " event " << i << " gives " << WordOf(next.state);
    }
  }
}

TEST(Lifecycle, TheTableOfTheDocumentation_IsThisOne) {
  std::ifstream file(std::string(std::getenv("MULTIGRES_SOURCE_DIR")) + "/docs/architecture.md");
  const std::map<std::string, Action> actions = {
      {"arm", Action::kArm}, {"launch", Action::kLaunch}, {"stop", Action::kStop}, {"replace", Action::kReplace}};
  size_t rows = 0;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells = absl::StrSplit(line, '|');
    for (std::string& cell : cells) {
      absl::StripAsciiWhitespace(&cell);
    }
    const State* state = std::find_if(std::begin(kStates), std::end(kStates),
                                      [&](State s) { return cells.size() > 1 && cells[1] == WordOf(s); });
    if (state == std::end(kStates)) {
      continue;
    }
    ++rows;
    ASSERT_EQ(cells.size(), std::size(kEvents) + 3) << line;
    for (size_t i = 0; i < std::size(kEvents); ++i) {
      Transition next = Next(*state, kEvents[i], {.wanted = kEvents[i] != Event::kUnwanted});
      std::vector<std::string> said = absl::StrSplit(cells[i + 2], ", ");
      EXPECT_EQ(said[0], next == Transition{*state} && said[0] == "\u00b7" ? "\u00b7" : WordOf(next.state)) << line;
      EXPECT_EQ(said.size() > 1 ? actions.at(said[1]) : Action::kNone, next.action) << line;
    }
  }
  EXPECT_EQ(rows, std::size(kStates));
}

TEST(Lifecycle, WhatIsNotWanted_IsNeverLaunched) {
  for (State state : kStates) {
    for (Event event : kEvents) {
      if (event != Event::kWanted) {
        EXPECT_NE(Next(state, event, {.wanted = false}).action, Action::kLaunch) << WordOf(state);
        EXPECT_NE(Next(state, event, {.wanted = false}).action, Action::kArm) << WordOf(state);
      }
    }
  }
}

TEST(Lifecycle, WhatHasAProcess_IsNeverLaunchedASecondTime) {
  for (State state : kStates) {
    for (Event event : kEvents) {
      if (HasProcess(state)) {
        EXPECT_NE(Next(state, event, {.wanted = true}).action, Action::kLaunch) << WordOf(state);
      }
    }
  }
}

TEST(Lifecycle, WhatAnOperationAttends_IsLeftToIt) {
  EXPECT_EQ(Next(State::kStarting, Event::kEnded, {.wanted = true, .attended = true}), (Transition{State::kFailed}));
  EXPECT_EQ(Next(State::kStarting, Event::kHung, {.wanted = true, .attended = true}), (Transition{State::kStarting}));
  EXPECT_EQ(Next(State::kFailed, Event::kWanted, {.wanted = true, .attended = true}), (Transition{State::kStarting}));
}

TEST(Lifecycle, TheVerdictOfAnEnd_ChoosesTheState) {
  EXPECT_EQ(Next(State::kRunning, Event::kEnded, {.wanted = true, .verdict = Verdict::kLeave}),
            (Transition{State::kFailed}));
  EXPECT_EQ(Next(State::kRunning, Event::kEnded, {.wanted = true, .verdict = Verdict::kCrashLoop}),
            (Transition{State::kCrashLooping, Action::kArm}));
  EXPECT_EQ(Next(State::kStopping, Event::kEnded, {.wanted = false}), (Transition{State::kStopped}));
}

TEST(Lifecycle, WhatHangs_IsOnlyReplacedWhereThePolicySaysSo) {
  EXPECT_EQ(Next(State::kRunning, Event::kHung, {.wanted = true, .restart_hung = false}),
            (Transition{State::kUnready}));
}

TEST(Restarts, TheFirstFollowsAtOnceAndLaterOnesWithinAGrowingCeiling) {
  RestartHistory history;
  absl::Time now = absl::UnixEpoch();
  const RestartHistory::End kEnd{.ran = absl::Seconds(1)};
  EXPECT_EQ(history.Decide(RestartPolicy::kAlways, kEnd, now, 0.99).delay, absl::ZeroDuration());
  absl::Duration before = absl::ZeroDuration();
  for (int i = 0; i < 12; ++i) {
    now += absl::Minutes(2);
    Decision decision = history.Decide(RestartPolicy::kAlways, kEnd, now, 0.999);
    EXPECT_GE(decision.delay, before);
    EXPECT_LE(decision.delay, kBackoffCeiling);
    EXPECT_EQ(decision.verdict, Verdict::kRestart);
    before = decision.delay;
  }
  EXPECT_GT(before, absl::Seconds(29));
  EXPECT_EQ(history.Decide(RestartPolicy::kAlways, kEnd, now + absl::Hours(1), 0).delay, absl::ZeroDuration());
}

TEST(Restarts, AHealthySpell_EndsTheRow) {
  RestartHistory history;
  const RestartHistory::End kShort{.ran = absl::Seconds(1)};
  for (int i = 0; i < 3; ++i) {
    history.Decide(RestartPolicy::kAlways, kShort, absl::FromUnixSeconds(100 * i), 0.9);
  }
  const RestartHistory::End kLong{.ran = kHealthySpell};
  EXPECT_EQ(history.Decide(RestartPolicy::kAlways, kLong, absl::FromUnixSeconds(900), 0.9).delay, absl::ZeroDuration());
}

TEST(Restarts, FiveEndsInAMinute_AreALoop) {
  RestartHistory history;
  const RestartHistory::End kEnd{.ran = absl::Seconds(1)};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(history.Decide(RestartPolicy::kAlways, kEnd, absl::FromUnixSeconds(i), 0.5).verdict, Verdict::kRestart);
  }
  Decision decision = history.Decide(RestartPolicy::kAlways, kEnd, absl::FromUnixSeconds(5), 0.5);
  EXPECT_EQ(decision.verdict, Verdict::kCrashLoop);
  EXPECT_EQ(decision.delay, absl::Seconds(45));
  EXPECT_NE(decision.reason.find("5 times"), std::string::npos) << decision.reason;
  // An hour later it is one end among none.
  EXPECT_EQ(history.Decide(RestartPolicy::kAlways, kEnd, absl::FromUnixSeconds(3600), 0).verdict, Verdict::kRestart);
}

TEST(Restarts, ThePolicyAndAPermanentCause_EndIt) {
  RestartHistory history;
  const RestartHistory::End kWell{.failed = false};
  const RestartHistory::End kBadly{.failed = true};
  const RestartHistory::End kBusy{.failed = true, .permanent_cause = "port 1 is busy"};
  absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(history.Decide(RestartPolicy::kNever, kBadly, now, 0).verdict, Verdict::kLeave);
  EXPECT_EQ(history.Decide(RestartPolicy::kOnFailure, kWell, now, 0).verdict, Verdict::kLeave);
  EXPECT_EQ(history.Decide(RestartPolicy::kOnFailure, kBadly, now, 0).verdict, Verdict::kRestart);
  EXPECT_EQ(history.Decide(RestartPolicy::kAlways, kWell, now, 0).verdict, Verdict::kRestart);
  Decision busy = history.Decide(RestartPolicy::kAlways, kBusy, now, 0);
  EXPECT_EQ(busy.verdict, Verdict::kLeave);
  EXPECT_EQ(busy.reason, "port 1 is busy");
}

}  // namespace
}  // namespace mg::supervisor
