#include "components/multiorch/registration.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/topology/predecessors.h"

namespace mg::multiorch {
namespace {

constexpr absl::Duration kWriteLimit = absl::Seconds(1);
constexpr absl::Duration kDeleteLimit = absl::Milliseconds(500);
constexpr auto kFirstRetry = std::chrono::milliseconds(10);
constexpr auto kLongestRetry = std::chrono::milliseconds(5000);

}  // namespace

Registration::Registration(topology::Topology* topology, clustermetadata::Multiorch record)
    : topology_(topology), record_(std::move(record)) {}

Registration::~Registration() { StopLoop(); }

void Registration::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Registration::Loop() {
  auto retry = kFirstRetry;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    absl::Status status = topology_->PutOrch(record_, absl::Now() + kWriteLimit);
    if (status.ok()) {
      topology::ForgetPredecessors(topology_, record_, absl::Now() + kWriteLimit);
    }
    lock.lock();
    if (status.ok()) {
      registered_ = true;
      return;
    }
    log::Warn("could not register in the topology", {{"error", status}});
    changed_.wait_for(lock, retry, [&] { return stopping_; });
    retry = std::min<decltype(retry)>(retry * 2, kLongestRetry);
  }
}

void Registration::StopLoop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Registration::Remove() {
  StopLoop();
  absl::Status status = topology_->DeleteOrch(record_.id(), absl::Now() + kDeleteLimit);
  if (!status.ok()) {
    log::Warn("could not delete the topology record", {{"error", status}});
  }
}

}  // namespace mg::multiorch
