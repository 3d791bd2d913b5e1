#include "agentd/events/state_feed.h"

#include <google/protobuf/util/message_differencer.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace mg::events {
namespace {

constexpr std::chrono::seconds kProbePeriod(2);
constexpr size_t kKeptChanges = 256;

using google::protobuf::util::MessageDifferencer;

v1::ComponentStatus Steady(v1::ComponentStatus status) {
  status.clear_uptime_seconds();
  status.clear_lsn();
  status.clear_replication_lag_bytes();
  status.clear_replication_lag_seconds();
  return status;
}

v1::ClusterStatus WithoutComponents(v1::ClusterStatus status) {
  status.clear_components();
  return status;
}

bool SameComponents(const v1::ClusterStatus& a, const v1::ClusterStatus& b) {
  bool same = a.components_size() == b.components_size();
  for (int i = 0; same && i < a.components_size(); ++i) {
    same = a.components(i).name() == b.components(i).name();
  }
  return same;
}

}  // namespace

bool SameState(const v1::ComponentStatus& a, const v1::ComponentStatus& b) {
  return MessageDifferencer::Equals(Steady(a), Steady(b));
}

StateFeed::StateFeed(Probe probe)
    : probe_(std::move(probe)),
      base_(absl::ToUnixMicros(absl::Now())),
      changes_(kKeptChanges),
      thread_(&StateFeed::Run, this) {}

StateFeed::~StateFeed() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void StateFeed::Poke() {
  std::lock_guard<std::mutex> lock(mutex_);
  poked_ = true;
  changed_.notify_all();
}

absl::StatusOr<std::optional<StateFeed::Snapshot>> StateFeed::Latest() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return latest_;
}

void StateFeed::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    poked_ = false;
    lock.unlock();
    Update(probe_());
    lock.lock();
    changed_.wait_for(lock, kProbePeriod, [&] { return stop_ || poked_; });
  }
}

void StateFeed::Update(absl::StatusOr<v1::ClusterStatus> status) {
  std::vector<Change> changes;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    bool resync = !status.ok() || !latest_.ok() || !latest_->has_value();
    if (!resync) {
      const v1::ClusterStatus& before = (*latest_)->status;
      resync = !SameComponents(before, *status) ||
               !MessageDifferencer::Equals(WithoutComponents(before), WithoutComponents(*status));
      for (int i = 0; !resync && i < status->components_size(); ++i) {
        if (!SameState(before.components(i), status->components(i))) {
          changes.emplace_back(status->components(i));
        }
      }
    }
    // A second failure after the first is no news.
    if (resync && (status.ok() || latest_.ok())) {
      changes.assign(1, Change());
    }
    if (status.ok()) {
      latest_ = std::optional<Snapshot>(
          {.position = changes_.last() + static_cast<std::int64_t>(changes.size()), .status = *std::move(status)});
    } else {
      latest_ = status.status();
    }
  }
  for (Change& change : changes) {
    changes_.Append([&](std::int64_t) { return std::move(change); });
  }
}

}  // namespace mg::events
