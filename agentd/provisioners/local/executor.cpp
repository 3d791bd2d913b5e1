#include "agentd/provisioners/local/executor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agentd/plan/graph.h"
#include "common/fs/unique_fd.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

namespace v1 = multigres::provisioner::v1;

class Run {
 public:
  Run(std::vector<Step> steps, plan::Graph graph, provisioners::OperationContext& context,
      const std::function<void()>& on_halt)
      : graph_(std::move(graph)), context_(context), on_halt_(on_halt), done_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    for (Step& step : steps) {
      std::string id = step.id;
      order_.push_back(id);
      steps_.emplace(std::move(id), std::move(step));
    }
  }

  absl::StatusOr<bool> Go() {
    Announce();
    Begin();
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        if (under_way_.empty() && (halt_.is_set() || graph_.Finished())) {
          break;
        }
      }
      Wait();
      if (!halt_.is_set()) {
        Begin();
      }
    }
    for (std::thread& thread : threads_) {
      thread.join();
    }
    if (!failure_.ok()) {
      return failure_;
    }
    return !changed_;
  }

 private:
  /// All steps in the order of the plan, so that whoever shows them has a place for each from the beginning.
  void Announce() {
    absl::Time now = absl::Now();
    for (const std::string& id : order_) {
      Tell(steps_.at(id), v1::STEP_STATE_PENDING, "", now);
    }
  }

  void Begin() {
    std::lock_guard lock(mutex_);
    for (const std::string& id : graph_.TakeReady()) {
      under_way_.insert(id);
      threads_.emplace_back([this, &step = steps_.at(id)] { RunStep(step); });
    }
  }

  void RunStep(const Step& step) {
    absl::Time began = absl::Now();
    Tell(step, v1::STEP_STATE_RUNNING, "", began);
    absl::StatusOr<StepOutcome> outcome = step.run(halt_);
    if (outcome.ok()) {
      Tell(step, outcome->skipped ? v1::STEP_STATE_SKIPPED : v1::STEP_STATE_DONE, outcome->detail, began);
    } else if (!halt_.is_set()) {
      Tell(step, v1::STEP_STATE_FAILED, std::string(outcome.status().message()), began);
    }
    {
      std::lock_guard lock(mutex_);
      under_way_.erase(step.id);
      if (outcome.ok()) {
        graph_.Done(step.id);
        changed_ |= !outcome->skipped;
      } else {
        graph_.Failed(step.id);
        if (failure_.ok()) {
          failure_ = outcome.status();
        }
      }
    }
    if (!outcome.ok()) {
      CallOff();
    }
    std::uint64_t one = 1;
    (void)!write(done_.get(), &one, sizeof(one));
  }

  /// Until a step ends, the operation is called off, or its time is up.
  void Wait() {
    pollfd fds[2] = {{done_.get(), POLLIN, 0}, {context_.cancel->fd(), POLLIN, 0}};
    bool called_off = halt_.is_set();
    double left = absl::ToDoubleMilliseconds(context_.deadline - absl::Now());
    int timeout = called_off ? -1 : static_cast<int>(std::ceil(std::clamp(left, 0.0, 3'600'000.0)));
    int ready = poll(fds, called_off ? 1 : 2, timeout);
    std::uint64_t count = 0;
    (void)!read(done_.get(), &count, sizeof(count));
    if (called_off) {
      return;
    }
    if ((fds[1].revents & POLLIN) != 0) {
      Fail(absl::CancelledError("cancelled"));
    } else if (ready == 0) {
      std::lock_guard lock(mutex_);
      if (failure_.ok()) {
        failure_ = MakeError(absl::StatusCode::kDeadlineExceeded,
                             absl::StrCat("not ready in time: ", absl::StrJoin(under_way_, ", ")),
                             {.reason = "TIMEOUT",
                              .hint = "run 'multigres up' again to go on, with a longer --timeout on a slow machine",
                              .subject = under_way_.size() == 1 ? *under_way_.begin() : ""});
      }
      timed_out_ = true;
    }
    if (timed_out_) {
      CallOff();
    }
  }

  void Fail(absl::Status status) {
    {
      std::lock_guard lock(mutex_);
      if (failure_.ok()) {
        failure_ = std::move(status);
      }
    }
    CallOff();
  }

  void CallOff() {
    halt_.Set();
    if (on_halt_) {
      on_halt_();
    }
  }

  void Tell(const Step& step, v1::StepState state, const std::string& detail, absl::Time began) {
    if (step.silent && state != v1::STEP_STATE_FAILED) {
      return;
    }
    v1::StepProgress progress;
    progress.set_id(step.id);
    progress.set_group(step.group);
    progress.set_state(state);
    progress.set_detail(detail);
    timespec elapsed = absl::ToTimespec(absl::Now() - began);
    progress.mutable_elapsed()->set_seconds(elapsed.tv_sec);
    progress.mutable_elapsed()->set_nanos(static_cast<int>(elapsed.tv_nsec));
    context_.step(progress);
  }

  std::map<std::string, Step> steps_;
  std::vector<std::string> order_;
  plan::Graph graph_;
  provisioners::OperationContext& context_;
  const std::function<void()>& on_halt_;
  UniqueFd done_;
  Halt halt_;
  std::mutex mutex_;
  std::set<std::string> under_way_;
  absl::Status failure_;
  bool changed_ = false;
  bool timed_out_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

void Halt::Set() {
  std::lock_guard lock(mutex_);
  set_ = true;
  changed_.notify_all();
}

bool Halt::is_set() const {
  std::lock_guard lock(mutex_);
  return set_;
}

bool Halt::WaitUntil(absl::Time until) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, absl::ToChronoTime(until), [&] { return set_; });
}

absl::StatusOr<bool> Execute(std::vector<Step> steps, provisioners::OperationContext& context,
                             const std::function<void()>& on_halt) {
  std::set<std::string> known;
  for (const Step& step : steps) {
    known.insert(step.id);
  }
  std::vector<plan::Node> nodes;
  for (const Step& step : steps) {
    plan::Node node{.id = step.id, .after = {}};
    std::copy_if(step.after.begin(), step.after.end(), std::back_inserter(node.after),
                 [&](const std::string& id) { return known.count(id) != 0; });
    nodes.push_back(std::move(node));
  }
  MG_ASSIGN_OR_RETURN(plan::Graph graph, plan::Graph::Build(nodes));
  return Run(std::move(steps), std::move(graph), context, on_halt).Go();
}

}  // namespace mg::local
