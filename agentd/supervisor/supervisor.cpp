#include "agentd/supervisor/supervisor.h"

#include <string.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status.h"

namespace mg::supervisor {

std::string DescribeExit(const shim::ExitRecord& exit) {
  return exit.signal != 0 ? absl::StrCat("was killed by signal ", exit.signal, " (", strsignal(exit.signal), ")")
                          : absl::StrCat("exited with status ", exit.exit_code);
}

Supervisor::Entry& Supervisor::EntryOf(const Watched& who) {
  Entry& entry = entries_[who.run_dir];
  entry.who = who;
  return entry;
}

void Supervisor::TakeCare(const Watched& who, Care care, bool wanted) {
  std::lock_guard lock(mutex_);
  Entry& entry = EntryOf(who);
  entry.care = std::move(care);
  entry.cared = true;
  entry.wanted = wanted;
}

void Supervisor::OnlyWatch(const Watched& who, bool wanted, absl::Duration hung_after,
                           std::vector<shim::StopStep> ladder) {
  std::lock_guard lock(mutex_);
  Entry& entry = EntryOf(who);
  entry.wanted = wanted;
  entry.care.hung_after = hung_after;
  entry.care.ladder = std::move(ladder);
}

void Supervisor::Resume(const Watched& who) {
  std::vector<News> news;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = EntryOf(who);
    if (entry.watched() || entry.busy > 0) {
      return;
    }
    entry.due = clock_.Steady();
    Carry(&entry, Apply(&entry, Event::kWanted, &news));
  }
  Tell(news);
}

void Supervisor::KeepWanted(const Watched& who) {
  bool stopped = false;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = EntryOf(who);
    entry.wanted = true;
    stopped = entry.state == State::kStopped && entry.attended == 0;
  }
  if (stopped) {
    Resume(who);
  }
}

absl::StatusOr<shim::ShimState> Supervisor::Start(const Watched& who, const shim::LaunchSpec& spec) {
  std::vector<News> news;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = EntryOf(who);
    entry.wanted = true;
    entry.spec = spec;
    entry.history.Reset();
    ++entry.attended;
    (void)Apply(&entry, Event::kWanted, &news);  // the launch is carried out here
    --entry.attended;
  }
  absl::StatusOr<shim::ShimState> state = shim::Launch(shim_path_, spec);
  bool ran = absl::IsAlreadyExists(state.status());
  if (ran) {
    state = shim::ReadShimState(who.run_dir);
  }
  if (state.ok()) {
    Watch(who, *state, /*announce=*/false, &news);
    if (!ran) {
      news.push_back({.type = "started",
                      .who = who,
                      .message = absl::StrCat("started with pid ", state->child ? state->child->pid : 0)});
    }
  } else {
    std::lock_guard lock(mutex_);
    Entry& entry = EntryOf(who);
    entry.reason = std::string(state.status().message());
    (void)Apply(&entry, Event::kEnded, &news, Verdict::kLeave);
  }
  Tell(news);
  return state;
}

shim::ShimState Supervisor::Adopt(const Watched& who, bool announce) {
  shim::ShimState state = shim::ReadShimState(who.run_dir);
  if (!state.shim_alive) {
    if (announce) {
      shim::EndLeftovers(who.run_dir);
    }
    return state;
  }
  std::vector<News> news;
  {
    std::lock_guard lock(mutex_);
    if (EntryOf(who).watched()) {
      return state;
    }
  }
  Watch(who, state, announce, &news);
  Tell(news);
  return state;
}

absl::Status Supervisor::Stop(const Watched& who, const std::vector<shim::StopStep>& ladder) {
  ExpectEnd(who.run_dir);
  std::vector<News> news;
  std::int64_t life = 0;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = EntryOf(who);
    entry.wanted = false;
    entry.stopping = true;
    life = entry.life;
    (void)Apply(&entry, Event::kUnwanted, &news);  // the stop is carried out here
  }
  Tell(news);
  absl::Status status = shim::StopAndWait(who.run_dir, ladder);
  if (status.ok()) {
    OnEnd(who.run_dir, life);  // unless the loop's thread was faster: then it may not be done with it yet
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return entries_[who.run_dir].busy == 0; });
  EntryOf(who).stopping = false;
  return status;
}

void Supervisor::ExpectEnd(const std::string& run_dir) {
  std::vector<News> news;
  {
    std::unique_lock lock(mutex_);
    auto found = entries_.find(run_dir);
    if (found == entries_.end()) {
      return;
    }
    found->second.wanted = false;
    found->second.due = absl::InfiniteFuture();
    changed_.wait(lock, [&] { return entries_[run_dir].busy == 0; });
    Entry& entry = entries_[run_dir];
    entry.wanted = false;
    if (!HasProcess(entry.state)) {
      (void)Apply(&entry, Event::kUnwanted, &news);
    }
  }
  Tell(news);
}

void Supervisor::Forget(const std::string& run_dir) {
  ExpectEnd(run_dir);
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  if (found != entries_.end() && found->second.busy == 0 && found->second.attended == 0) {
    Unwatch(&found->second);
    entries_.erase(found);
  }
}

Supervisor::Attendance::Attendance(Supervisor* supervisor, std::string run_dir)
    : supervisor_(supervisor), run_dir_(std::move(run_dir)) {
  std::unique_lock lock(supervisor_->mutex_);
  ++supervisor_->entries_[run_dir_].attended;
  supervisor_->changed_.wait(lock, [&] { return supervisor_->entries_[run_dir_].busy == 0; });
}

Supervisor::Attendance::~Attendance() { supervisor_->Release(run_dir_); }

void Supervisor::Release(const std::string& run_dir) {
  bool judge = false;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    if (--entry.attended > 0 || !entry.cared || HasProcess(entry.state)) {
      return;
    }
    judge = entry.wanted && entry.state == State::kFailed;
  }
  Decision decision;
  std::string words;
  if (judge) {
    decision = Judge(run_dir, shim::ReadShimState(run_dir));
    words = decision.verdict == Verdict::kRestart ? "" : LastWords(run_dir);
  }
  std::vector<News> news;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    if (entry.attended == 0 && !HasProcess(entry.state)) {
      if (judge) {
        entry.reason = decision.reason.empty() ? entry.reason : absl::StrCat(decision.reason, words);
        entry.due = clock_.Steady() + decision.delay;
      } else if (entry.due == absl::InfiniteFuture()) {
        entry.due = clock_.Steady();
      }
      Carry(&entry, Apply(&entry, Event::kReleased, &news, decision.verdict));
    }
  }
  Tell(news);
}

void Supervisor::Report(const std::string& run_dir, const Answer& answer) {
  std::vector<News> news;
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(run_dir);
    if (found == entries_.end() || !found->second.watched() || found->second.state == State::kStopping) {
      return;
    }
    Entry& entry = found->second;
    absl::Time now = clock_.Steady();
    entry.silent_since = answer.alive && !answer.stopped ? absl::InfiniteFuture() : std::min(entry.silent_since, now);
    if (answer.ready.ok() && !answer.stopped) {
      entry.answered = true;
      (void)Apply(&entry, Event::kReady, &news);
    } else {
      entry.reason = answer.stopped ? "not answering: its process is stopped by a signal"
                     : answer.alive ? std::string(answer.ready.message())
                                    : absl::StrCat("not answering: ", std::string(answer.ready.message()));
      (void)Apply(&entry, Event::kNotReady, &news);
      bool silent = now - entry.silent_since >= entry.care.hung_after && (entry.answered || answer.stopped);
      bool never_started = entry.cared && !entry.answered && now - entry.launched >= entry.care.starting_bound;
      if (silent || never_started) {
        Carry(&entry, Apply(&entry, Event::kHung, &news));
      }
    }
  }
  Tell(news);
}

bool Supervisor::IsStopping(const std::string& run_dir) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  return found != entries_.end() && (found->second.stopping || found->second.state == State::kStopping);
}

View Supervisor::Look(const std::string& run_dir) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  if (found == entries_.end()) {
    return {};
  }
  const Entry& entry = found->second;
  return {.state = entry.state,
          .wanted = entry.wanted,
          .cared = entry.cared,
          .process = entry.watched() ? entry.process : std::nullopt,
          .observed = entry.seen,
          .reason = entry.reason,
          .since = entry.since,
          .due = entry.due == absl::InfiniteFuture() ? entry.due : clock_.Wall() + (entry.due - clock_.Steady()),
          .ends = entry.history.ends_in_window(),
          .last_exit = entry.last_exit};
}

bool Supervisor::HasEnded(const std::string& run_dir) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  return found != entries_.end() && !found->second.watched();
}

bool Supervisor::WaitForEnd(const std::string& run_dir, absl::Time until) {
  std::unique_lock lock(mutex_);
  std::uint64_t wakes = wakes_;
  auto runs = [&] {
    auto found = entries_.find(run_dir);
    return found != entries_.end() && found->second.watched();
  };
  changed_.wait_until(lock, absl::ToChronoTime(until), [&] { return !runs() || wakes_ != wakes; });
  return !runs();
}

void Supervisor::Wake() {
  std::lock_guard lock(mutex_);
  ++wakes_;
  changed_.notify_all();
  WakeLoop();
}

void Supervisor::Tell(const std::vector<News>& news) {
  for (const News& item : news) {
    if (sink_) {
      sink_(item);
    }
  }
}

}  // namespace mg::supervisor
