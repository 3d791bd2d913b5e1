#include "agentd/provisioners/local/watchman.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/logs/structure.h"
#include "agentd/provisioners/local/probes.h"
#include "agentd/store/component_name.h"
#include "common/logs/log_files.h"
#include "common/net/tcp_port.h"
#include "common/process/process_id.h"
#include "common/rpc/proto_time.h"

namespace mg::local {

namespace {

constexpr absl::Duration kPeriod = absl::Seconds(5);
constexpr absl::Duration kFirstPause = absl::Milliseconds(30);
constexpr absl::Duration kLongestStartPause = absl::Seconds(1);
constexpr absl::Duration kOneAnswer = absl::Seconds(2);
/// How the programs end when they do not understand their command line.
constexpr int kUsageStatus = 2;
constexpr int kShownLines = 5;
constexpr int kLastWordsWidth = 120;

/// Only what can be verified, or what the program itself says in its exit status.
std::string PermanentCause(const v1::ComponentSpec& spec, const std::string& log_dir, const shim::ShimState& state) {
  for (const v1::Port& port : spec.ports()) {
    // Nobody of this component's tree lives any more.
    if (std::optional<net::PortHolder> holder = net::HolderOf(port.number()); holder) {
      return absl::StrCat("its ", port.name(), " port ", port.number(), " is held by ", net::DescribeHolder(holder));
    }
  }
  if (state.exit && state.exit->exit_code == kUsageStatus && state.exit->signal == 0) {
    for (const std::string& line : logs::LastLines({.name = spec.name(), .directory = log_dir}, kShownLines)) {
      if (absl::StrContains(line, "flag") || absl::StrContains(line, "argument") || absl::StrContains(line, "usage")) {
        return absl::StrCat("it does not understand its command line: ", line);
      }
    }
  }
  return "";
}

}  // namespace

supervisor::Watched WatchedOf(const Model& model, const std::string& component) {
  absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(component);
  return {
      .cluster = model.place.name, .component = component, .run_dir = name.ok() ? model.input.paths.RunDir(*name) : ""};
}

std::vector<shim::StopStep> LadderOf(const v1::ComponentSpec& spec) {
  std::vector<shim::StopStep> ladder;
  for (const v1::StopStep& step : spec.stop()) {
    ladder.push_back({.signal = step.signal(), .wait = rpc::ToDuration(step.wait())});
  }
  return ladder;
}

void Watchman::Stop() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Watchman::TakeCare(const Model& model, const v1::ComponentSpec& spec, MakeSpec make_spec, bool wanted) {
  supervisor::Watched who = WatchedOf(model, spec.name());
  if (spec.observed_only()) {
    supervisor_->OnlyWatch(who, wanted, rpc::ToDuration(spec.hung_after()), LadderOf(spec));
  } else {
    supervisor::Care care{.policy = supervisor::ParseRestartPolicy(spec.restart()),
                          .hung_after = rpc::ToDuration(spec.hung_after()),
                          .starting_bound = rpc::ToDuration(spec.start_bound()),
                          .ladder = LadderOf(spec)};
    care.next_generation = [store = model.store, name = spec.name()]() -> absl::StatusOr<std::int64_t> {
      if (store == nullptr) {
        return absl::FailedPreconditionError("the cluster has no record");
      }
      return store->NextGeneration(name);
    };
    care.make_spec = std::move(make_spec);
    absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(spec.name());
    care.permanent_cause = [spec, log_dir = name.ok() ? model.input.paths.LogDir(*name) : std::string()](
                               const shim::ShimState& state) { return PermanentCause(spec, log_dir, state); };
    care.last_words = [component = spec.name(), log_dir = name.ok() ? model.input.paths.LogDir(*name) : std::string()] {
      // A reason is one line, which status has for everything at once; 'why' shows the lines themselves.
      const std::vector<std::string> lines = logs::LastLines({.name = component, .directory = log_dir}, 1);
      return lines.empty() ? std::string() : logs::Gist(lines.back(), kLastWordsWidth);
    };
    supervisor_->TakeCare(who, std::move(care), wanted);
  }
  std::lock_guard lock(mutex_);
  charges_[who.run_dir] = {.who = who, .spec = spec};
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { Run(); });
  }
  poked_ = true;
  changed_.notify_all();
}

void Watchman::Forget(const std::string& cluster) {
  std::vector<std::string> run_dirs;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(charges_, [&](const auto& item) {
      bool ours = item.second.who.cluster == cluster;
      if (ours) {
        run_dirs.push_back(item.first);
      }
      return ours;
    });
  }
  // Without the lock: the supervisor may wait for a thread that tells us something.
  for (const std::string& run_dir : run_dirs) {
    supervisor_->Forget(run_dir);
  }
}

void Watchman::ForgetComponent(const std::string& run_dir) {
  {
    std::lock_guard lock(mutex_);
    charges_.erase(run_dir);
  }
  supervisor_->Forget(run_dir);
}

void Watchman::Poke() {
  std::lock_guard lock(mutex_);
  poked_ = true;
  changed_.notify_all();
}

void Watchman::Run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    poked_ = false;
    lock.unlock();
    absl::Time next = Round(clock_.Steady());
    lock.lock();
    auto woken = [this] { return ending_ || poked_; };
    if (next == absl::InfiniteFuture()) {
      changed_.wait(lock, woken);
    } else {
      changed_.wait_for(lock, absl::ToChronoNanoseconds(next - clock_.Steady()), woken);
    }
  }
}

absl::Time Watchman::Round(absl::Time now) {
  std::vector<Charge> due;
  absl::Time next = absl::InfiniteFuture();
  {
    std::lock_guard lock(mutex_);
    for (auto& [run_dir, charge] : charges_) {
      supervisor::View view = supervisor_->Look(run_dir);
      if (!HasProcess(view.state) && (!charge.spec.observed_only() || !view.wanted)) {
        charge.pause = absl::ZeroDuration();
        charge.next = now;
        continue;
      }
      bool starts = view.state == supervisor::State::kStarting && !charge.spec.observed_only();
      if (charge.pause == absl::ZeroDuration() || (starts && charge.pause == kPeriod)) {
        charge.pause = starts ? kFirstPause : kPeriod;
        charge.next = now + (starts ? charge.pause : absl::ZeroDuration());
      }
      if (charge.next <= now) {
        due.push_back(charge);
        charge.pause = starts ? std::min(charge.pause * 2, kLongestStartPause) : kPeriod;
        charge.next = now + charge.pause;
      }
      next = std::min(next, charge.next);
    }
  }
  std::vector<const v1::ComponentSpec*> asked;
  std::vector<size_t> places;
  std::vector<supervisor::Answer> answers(due.size());
  std::vector<bool> runs(due.size());
  for (size_t i = 0; i < due.size(); ++i) {
    std::optional<ProcessId> process = supervisor_->Look(due[i].who.run_dir).process;
    if (!process) {
      // One that somebody else launched, or whose shim did not answer before. What is watched needs no file.
      shim::ShimState state = supervisor_->Adopt(due[i].who, /*announce=*/due[i].spec.observed_only());
      if (!state.child_alive || !state.child) {
        continue;
      }
      process = state.child;
    }
    answers[i].stopped = IsStopped(*process);
    runs[i] = true;
    // One that is stopped cannot answer: the question would only hold up the others.
    if (!due[i].spec.liveness().type().empty() && !answers[i].stopped) {
      asked.push_back(&due[i].spec);
      places.push_back(i);
    }
  }
  std::vector<LifeSign> signs = AskForLife(asked, absl::Now() + kOneAnswer);
  for (size_t i = 0; i < signs.size(); ++i) {
    answers[places[i]].ready = std::move(signs[i].ready);
    answers[places[i]].alive = signs[i].alive;
  }
  for (size_t i = 0; i < due.size(); ++i) {
    if (runs[i]) {
      supervisor_->Report(due[i].who.run_dir, answers[i]);
    }
  }
  return next;
}

}  // namespace mg::local
