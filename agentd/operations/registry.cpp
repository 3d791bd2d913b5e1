#include "agentd/operations/registry.h"

#include <sys/random.h>

#include <condition_variable>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace mg::operations {
namespace {

std::string NewId() {
  std::uint64_t bits = 0;
  // For so few bytes getrandom is never cut short; a signal may interrupt it before the pool is ready.
  while (::getrandom(&bits, sizeof bits, 0) != sizeof bits) {
  }
  return absl::StrCat(absl::Hex(bits, absl::kZeroPad16));
}

enum class Decision { kJoin, kCancelAndRun, kRunAfter, kBusy };

/// The table in the header.
Decision Decide(const Operation::Identity& running, const Registry::Request& wanted) {
  bool same_subject = running.subject == wanted.subject;
  if (wanted.kind == "down") {
    if (running.kind != "down") {
      return Decision::kCancelAndRun;
    }
    return same_subject || wanted.subject.empty() ? Decision::kJoin : Decision::kRunAfter;
  }
  if ((running.kind == wanted.kind && same_subject) ||
      (wanted.kind == "up" && running.kind == "restart" && running.subject.empty())) {
    return Decision::kJoin;
  }
  return Decision::kBusy;
}

std::string Describe(const Operation::Identity& operation) {
  return absl::StrCat(operation.kind, operation.subject.empty() ? "" : " ", operation.subject, " (operation ",
                      operation.id, ")");
}

void WaitForEnd(const std::shared_ptr<Operation>& operation) {
  struct Signal {
    std::mutex mutex;
    std::condition_variable changed;
  };
  auto signal = std::make_shared<Signal>();
  auto handle = operation->feed().Subscribe([signal] {
    std::lock_guard<std::mutex> lock(signal->mutex);
    signal->changed.notify_all();
  });
  std::unique_lock<std::mutex> lock(signal->mutex);
  signal->changed.wait(lock, [&] { return operation->feed().closed(); });
}

absl::Duration TimeoutOf(const v1::OperationOptions& options) {
  if (!options.has_timeout()) {
    return Registry::kDefaultTimeout;
  }
  return rpc::ToDuration(options.timeout());
}

}  // namespace

Registry::Registry(Observer observer) : observer_(std::move(observer)) {}

Registry::~Registry() {
  Stop();
  std::deque<Entry> entries;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    entries.swap(entries_);
  }
  for (Entry& entry : entries) {
    if (entry.thread.joinable()) {
      entry.thread.join();
    }
  }
}

void Registry::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  for (Entry& entry : entries_) {
    entry.operation->Cancel("the agent ends");
  }
}

absl::StatusOr<std::shared_ptr<Operation>> Registry::Begin(Request request) {
  std::vector<std::thread> ended;
  std::shared_ptr<Operation> operation, predecessor;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    bool nested = false;
    MG_ASSIGN_OR_RETURN(operation, ChooseLocked(request, &nested, &predecessor));
    if (operation != nullptr) {
      return operation;
    }
    operation = std::make_shared<Operation>(Operation::Identity{.id = NewId(),
                                                                .kind = request.kind,
                                                                .cluster = request.cluster,
                                                                .key = request.key,
                                                                .subject = request.subject,
                                                                .start = absl::Now()});
    if (predecessor != nullptr) {
      operation->AddMessage(absl::StrCat("waits for the end of ", Describe(predecessor->identity())));
    }
    ForgetOldLocked(&ended);
    entries_.push_back(
        {.operation = operation, .idempotency_key = request.options.idempotency_key(), .nested = nested});
    entries_.back().thread = std::thread(&Registry::Run, this, operation, predecessor, std::move(request));
  }
  for (std::thread& thread : ended) {
    thread.join();
  }
  return operation;
}

absl::StatusOr<std::shared_ptr<Operation>> Registry::ChooseLocked(const Request& request, bool* nested,
                                                                  std::shared_ptr<Operation>* predecessor) {
  if (stopped_) {
    return MakeError(absl::StatusCode::kUnavailable, "the agent ends", {.reason = "AGENT_STOPPING"});
  }
  const std::string& key = request.options.idempotency_key();
  for (const Entry& entry : entries_) {
    if (key.empty() || entry.idempotency_key != key) {
      continue;
    }
    const Operation::Identity& known = entry.operation->identity();
    if (known.kind != request.kind || known.key != request.key || known.subject != request.subject) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("the idempotency key ", key, " belongs to ", Describe(known)),
                       {.reason = "IDEMPOTENCY_KEY_REUSED", .hint = "use a new key for each request"});
    }
    return entry.operation;
  }
  std::shared_ptr<Operation> running = UnderWayLocked(request.key);
  if (running == nullptr) {
    return nullptr;
  }
  const std::string& parent = request.options.parent_operation_id();
  if (!parent.empty() && parent == running->identity().id) {
    *nested = true;
    return nullptr;
  }
  switch (Decide(running->identity(), request)) {
    case Decision::kCancelAndRun:
      running->Cancel("down was asked for");
      *predecessor = running;
      return nullptr;
    case Decision::kRunAfter:
      *predecessor = running;
      return nullptr;
    case Decision::kJoin:
      if (!running->cancel().cancelled()) {
        return running;
      }
      break;  // what was called off will not do what is asked
    case Decision::kBusy:
      break;
  }
  return MakeError(absl::StatusCode::kAborted,
                   absl::StrCat("cluster ", request.cluster, " is busy: ", Describe(running->identity()),
                                running->cancel().cancelled() ? " is being cancelled" : " is under way"),
                   {.reason = "CLUSTER_BUSY", .hint = "wait for its end, or call it off with multigres down"});
}

void Registry::Run(std::shared_ptr<Operation> operation, std::shared_ptr<Operation> predecessor, Request request) {
  if (predecessor != nullptr) {
    WaitForEnd(predecessor);
  }
  observer_(*operation);
  if (operation->cancel().cancelled()) {
    operation->End(absl::CancelledError("cancelled before it began"));
  } else {
    provisioners::OperationContext context = {
        .operation_id = operation->identity().id,
        .deadline = absl::Now() + TimeoutOf(request.options),
        .cancel = &operation->cancel(),
        .step = [&](const v1::StepProgress& step) { operation->AddStep(step); },
        .message = [&](const std::string& message) { operation->AddMessage(message); },
        .fault = [&](const v1::FaultReport& report) { operation->AddFault(report); },
    };
    operation->End(request.body(context));
  }
  observer_(*operation);
}

/// Forgets the oldest ended operations over the bound, and moves the threads of ended ones out, for joining without the
/// lock.
void Registry::ForgetOldLocked(std::vector<std::thread>* ended) {
  size_t count = 0;
  for (Entry& entry : entries_) {
    if (entry.operation->result().has_value()) {
      ++count;
      if (entry.thread.joinable()) {
        ended->push_back(std::move(entry.thread));
      }
    }
  }
  for (auto it = entries_.begin(); it != entries_.end() && count >= kKeptEnded;) {
    if (it->operation->result().has_value() && !it->thread.joinable()) {
      --count;
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

std::shared_ptr<Operation> Registry::UnderWayLocked(const std::string& key) const {
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (!it->nested && it->operation->identity().key == key && !it->operation->result().has_value()) {
      return it->operation;
    }
  }
  return nullptr;
}

std::shared_ptr<Operation> Registry::UnderWay(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return UnderWayLocked(key);
}

absl::StatusOr<std::shared_ptr<Operation>> Registry::Find(const std::string& id) const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.operation->identity().id == id) {
      return entry.operation;
    }
  }
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no operation ", id),
                   {.reason = "OPERATION_NOT_FOUND"});
}

absl::Status Registry::Cancel(const std::string& id) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<Operation> operation, Find(id));
  operation->Cancel("a client asked for it");
  return absl::OkStatus();
}

std::vector<std::shared_ptr<Operation>> Registry::List(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<Operation>> list;
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (key.empty() || it->operation->identity().key == key) {
      list.push_back(it->operation);
    }
  }
  return list;
}

}  // namespace mg::operations
