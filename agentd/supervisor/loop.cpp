// The loop of the supervisor: what its own threads do.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/supervisor/supervisor.h"
#include "common/status/status.h"

namespace mg::supervisor {

namespace {

constexpr int kEventsAtOnce = 32;
/// Launches and stops that may be under way at once; one of them blocks for milliseconds, in the worst case seconds.
constexpr size_t kMaxWorkers = 4;
constexpr char kEndedWithShim[] = "ended together with its shim";

void AddToEpoll(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

Supervisor::Supervisor(std::string shim_path, std::function<void(const News&)> sink, const Clock& clock)
    : shim_path_(std::move(shim_path)),
      sink_(std::move(sink)),
      clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  AddToEpoll(epoll_.get(), wake_.get());
  thread_ = std::thread([this] { Run(); });
}

Supervisor::~Supervisor() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    jobs_.clear();
    work_.notify_all();
  }
  WakeLoop();
  thread_.join();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void Supervisor::WakeLoop() {
  std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
}

Action Supervisor::Apply(Entry* entry, Event event, std::vector<News>* news, Verdict verdict) {
  Facts facts{.wanted = event == Event::kUnwanted ? false : entry->wanted,
              .attended = entry->attended > 0,
              .verdict = entry->cared ? verdict : Verdict::kLeave,
              .restart_hung = entry->care.restart_hung && entry->care.policy != RestartPolicy::kNever};
  State before = entry->state;
  Transition next = Next(before, event, facts);
  entry->state = next.state;
  if (next.state != before) {
    entry->since = clock_.Wall();
    switch (next.state) {
      case State::kRunning:
        entry->reason.clear();
        news->push_back({.type = "ready", .who = entry->who, .message = "answers"});
        break;
      case State::kUnready:
        news->push_back({.type = "unready", .who = entry->who, .message = entry->reason});
        break;
      case State::kFailed:
        if (facts.wanted && entry->cared && !facts.attended) {
          news->push_back(
              {.type = "failed", .who = entry->who, .message = absl::StrCat("is not started again: ", entry->reason)});
        }
        break;
      case State::kWaiting:
      case State::kCrashLooping: {
        absl::Duration pause = absl::Trunc(entry->due - clock_.Steady(), absl::Milliseconds(1));
        std::string when = pause <= absl::ZeroDuration() ? "at once" : absl::StrCat("in ", absl::FormatDuration(pause));
        news->push_back(
            {.type = next.state == State::kWaiting ? "restarting" : "crash-loop",
             .who = entry->who,
             .message = absl::StrCat(entry->reason, entry->reason.empty() ? "" : "; ", "started again ", when)});
        break;
      }
      case State::kStopping:
        news->push_back({.type = event == Event::kHung ? "not-answering" : "stopping",
                         .who = entry->who,
                         .message = event == Event::kHung ? absl::StrCat("is ended and started again: ", entry->reason)
                                                          : "is told to end"});
        break;
      case State::kStopped:
      case State::kStarting:
        break;
    }
  }
  if (next.state != State::kWaiting && next.state != State::kCrashLooping) {
    entry->due = absl::InfiniteFuture();
  }
  return entry->cared || next.action == Action::kReplace ? next.action : Action::kNone;
}

void Supervisor::Carry(Entry* entry, Action action) {
  switch (action) {
    case Action::kNone:
    case Action::kLaunch:  // whoever makes the transition launches
      break;
    case Action::kArm:
      WakeLoop();
      break;
    case Action::kStop:
    case Action::kReplace:
      Queue(entry, [this, run_dir = entry->who.run_dir, life = entry->life, ladder = entry->care.ladder] {
        Replace(run_dir, life, ladder);
      });
      break;
  }
}

void Supervisor::Unwatch(Entry* entry) {
  if (entry->watched()) {
    run_dir_of_fd_.erase(entry->fd());
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry->fd(), nullptr);
    entry->client.reset();
    entry->child.Reset();
  }
}

void Supervisor::Watch(const Watched& who, const shim::ShimState& state, bool announce, std::vector<News>* news) {
  absl::StatusOr<std::unique_ptr<shim::ShimClient>> client = shim::ShimClient::Connect(who.run_dir);
  // A shim that does not answer has ended just now. Its component mostly ends with it, but maybe a moment later.
  absl::StatusOr<UniqueFd> child = client.ok() || !state.child ? absl::NotFoundError("") : OpenPidfd(*state.child);
  {
    std::lock_guard lock(mutex_);
    Entry& entry = EntryOf(who);
    Unwatch(&entry);
    entry.seen = true;
    ++entry.life;
    entry.launched = clock_.Steady();
    entry.answered = false;
    entry.silent_since = absl::InfiniteFuture();
    entry.due = absl::InfiniteFuture();
    if (state.launch && entry.spec.argv.empty()) {
      entry.spec = *state.launch;
      entry.spec.stop = entry.care.ladder;
    }
    Carry(&entry, Apply(&entry, Event::kLaunched, news));
    if (client.ok()) {
      entry.client = *std::move(client);
    } else if (child.ok()) {
      entry.child = *std::move(child);
    }
    if (entry.watched()) {
      entry.process = state.child;
      run_dir_of_fd_[entry.fd()] = who.run_dir;
      AddToEpoll(epoll_.get(), entry.fd());
    }
    changed_.notify_all();
    if (!entry.watched()) {
      // Its files say how it ended.
      Queue(&entry, [this, run_dir = who.run_dir, life = entry.life] { OnEnd(run_dir, life); });
    }
  }
  if (announce) {
    news->push_back(
        {.type = "adopted", .who = who, .message = absl::StrCat("runs as pid ", state.child ? state.child->pid : 0)});
  }
}

int Supervisor::WaitMilliseconds() {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [run_dir, entry] : entries_) {
    if (entry.busy == 0 && entry.attended == 0) {
      next = std::min(next, entry.due);
    }
  }
  if (next == absl::InfiniteFuture()) {
    return -1;
  }
  absl::Duration left = std::clamp(next - clock_.Steady(), absl::ZeroDuration(), absl::Duration(absl::Minutes(5)));
  return static_cast<int>(absl::ToInt64Milliseconds(left + absl::Microseconds(999)));
}

void Supervisor::Run() {
  std::array<epoll_event, kEventsAtOnce> events;
  for (;;) {
    int timeout = -1;
    {
      std::lock_guard lock(mutex_);
      timeout = WaitMilliseconds();
    }
    int count = epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, timeout);
    std::lock_guard lock(mutex_);
    if (ending_) {
      return;
    }
    for (int i = 0; i < count; ++i) {
      int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == wake_.get()) {
        std::uint64_t sink = 0;
        (void)!read(fd, &sink, sizeof sink);
        continue;
      }
      auto found = run_dir_of_fd_.find(fd);
      if (found == run_dir_of_fd_.end()) {
        continue;
      }
      Entry& entry = entries_[found->second];
      if (entry.client != nullptr && absl::IsDeadlineExceeded(entry.client->WaitExit(absl::Now()).status())) {
        continue;  // other news, such as the answer to a signal
      }
      std::string run_dir = found->second;
      Unwatch(&entry);
      changed_.notify_all();
      Queue(&entry, [this, run_dir, life = entry.life] { OnEnd(run_dir, life); });
    }
    absl::Time now = clock_.Steady();
    for (auto& [run_dir, entry] : entries_) {
      if (entry.busy == 0 && entry.attended == 0 && entry.due <= now) {
        entry.due = absl::InfiniteFuture();
        Queue(&entry, [this, dir = run_dir] { OnDue(dir); });
      }
    }
  }
}

void Supervisor::Queue(Entry* entry, std::function<void()> job) {
  if (ending_) {
    return;
  }
  ++entry->busy;
  jobs_.push_back([this, run_dir = entry->who.run_dir, job = std::move(job)] {
    job();
    std::lock_guard lock(mutex_);
    --entries_[run_dir].busy;
    changed_.notify_all();
    WakeLoop();
  });
  if (idle_ < static_cast<int>(jobs_.size()) && workers_.size() < kMaxWorkers) {
    workers_.emplace_back([this] { Work(); });
  }
  work_.notify_one();
}

void Supervisor::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    --idle_;
    if (ending_) {
      return;
    }
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

Decision Supervisor::Judge(const std::string& run_dir, const shim::ShimState& state) {
  std::function<std::string(const shim::ShimState&)> permanent_cause;
  RestartHistory::End end;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    end.failed = !state.exit || state.exit->signal != 0 || state.exit->exit_code != 0;
    end.ran = state.exit ? state.exit->ran : clock_.Steady() - entry.launched;
    bool may_be_permanent = state.exit && state.exit->signal == 0 && state.exit->exit_code != 0 && !entry.answered;
    if (may_be_permanent) {
      permanent_cause = entry.care.permanent_cause;
    }
  }
  if (permanent_cause) {
    end.permanent_cause = permanent_cause(state);
  }
  std::lock_guard lock(mutex_);
  Entry& entry = entries_[run_dir];
  double random = std::uniform_real_distribution<double>(0, 1)(random_);
  return entry.history.Decide(entry.care.policy, end, clock_.Steady(), random);
}

std::string Supervisor::LastWords(const std::string& run_dir) {
  std::function<std::string()> last_words;
  {
    std::lock_guard lock(mutex_);
    last_words = entries_[run_dir].care.last_words;
  }
  std::string words = last_words ? last_words() : "";
  return words.empty() ? "" : absl::StrCat(" and wrote: ", words);
}

void Supervisor::OnEnd(const std::string& run_dir, std::int64_t life) {
  std::vector<News> news;
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(run_dir);
    if (found == entries_.end() || found->second.life != life || found->second.ended_life == life) {
      return;  // seen already
    }
    found->second.ended_life = life;
    Unwatch(&found->second);
    changed_.notify_all();
  }
  shim::ShimState state = shim::ReadShimState(run_dir);
  if (!state.exit) {
    shim::EndLeftovers(run_dir);  // its shim could not
  }
  std::string how = state.exit ? DescribeExit(*state.exit) : kEndedWithShim;
  absl::Duration ran = state.exit ? state.exit->ran : absl::ZeroDuration();
  bool judge = false;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    entry.last_exit = state.exit;
    judge = entry.cared && entry.wanted && entry.attended == 0;
    news.push_back({.type = entry.wanted && entry.state != State::kStopping ? "exited" : "stopped",
                    .who = entry.who,
                    .message = how,
                    .ran = ran});
  }
  Decision decision;
  Action action = Action::kNone;
  bool at_once = false;
  std::string words;
  if (judge) {
    decision = Judge(run_dir, state);
    words = decision.verdict == Verdict::kRestart ? "" : LastWords(run_dir);
  }
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    entry.reason = decision.reason.empty() ? how : absl::StrCat(decision.reason, "; last it ", how, words);
    entry.due = clock_.Steady() + decision.delay;
    action = Apply(&entry, Event::kEnded, &news, decision.verdict);
    at_once = action == Action::kArm && decision.delay == absl::ZeroDuration();
    if (!at_once) {
      Carry(&entry, action);
    }
  }
  Tell(news);
  if (at_once) {
    OnDue(run_dir);  // by this thread: the loop's would only hand it back
  }
}

void Supervisor::OnDue(const std::string& run_dir) {
  std::vector<News> news;
  Care care;
  shim::LaunchSpec spec;
  Watched who;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    entry.due = absl::InfiniteFuture();
    if (entry.attended > 0 || Apply(&entry, Event::kDue, &news) != Action::kLaunch) {
      return;
    }
    care = entry.care;
    spec = entry.spec;
    who = entry.who;
  }
  absl::StatusOr<shim::ShimState> state = [&]() -> absl::StatusOr<shim::ShimState> {
    if (spec.argv.empty()) {
      if (std::optional<shim::LaunchSpec> launched = shim::ReadShimState(run_dir).launch; launched) {
        spec = *std::move(launched);
      } else if (care.make_spec) {
        MG_ASSIGN_OR_RETURN(spec, care.make_spec());
      }
    }
    if (spec.argv.empty()) {
      return absl::FailedPreconditionError("it is not known what to launch");
    }
    if (care.next_generation) {
      MG_ASSIGN_OR_RETURN(spec.generation, care.next_generation());
    }
    spec.stop = care.ladder;
    return shim::Launch(shim_path_, spec);
  }();
  bool ran = absl::IsAlreadyExists(state.status());
  if (ran) {
    state = shim::ReadShimState(run_dir);
  }
  if (state.ok()) {
    {
      std::lock_guard lock(mutex_);
      entries_[run_dir].spec = spec;
    }
    if (!ran) {
      news.push_back({.type = "started",
                      .who = who,
                      .message = absl::StrCat("started again with pid ", state->child ? state->child->pid : 0)});
    }
    Watch(who, *state, /*announce=*/ran, &news);
  } else {
    bool permanent = absl::IsNotFound(state.status()) || absl::IsPermissionDenied(state.status()) ||
                     absl::IsFailedPrecondition(state.status());
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[run_dir];
    std::string message(state.status().message());
    double random = std::uniform_real_distribution<double>(0, 1)(random_);
    Decision decision =
        entry.history.Decide(care.policy, {.permanent_cause = permanent ? message : ""}, clock_.Steady(), random);
    entry.reason = message;
    entry.due = clock_.Steady() + std::max(decision.delay, absl::Duration(absl::Milliseconds(100)));
    Carry(&entry, Apply(&entry, Event::kEnded, &news, decision.verdict));
  }
  Tell(news);
}

void Supervisor::Replace(const std::string& run_dir, std::int64_t life, const std::vector<shim::StopStep>& ladder) {
  absl::Status status = shim::StopAndWait(run_dir, ladder);
  if (status.ok()) {
    OnEnd(run_dir, life);  // unless the shim's news was faster
    return;
  }
  std::lock_guard lock(mutex_);
  entries_[run_dir].reason = absl::StrCat("could not be ended: ", std::string(status.message()));
}

}  // namespace mg::supervisor
