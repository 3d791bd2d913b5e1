#include "components/multipooler/manager/health_hub.h"

#include <utility>

namespace mg::multipooler {
namespace {

// The snapshot without what changes all the time.
std::string Shape(multipoolermanagerdata::StatusResponse status) {
  multipoolermanagerdata::Status* s = status.mutable_status();
  s->clear_wal_position();
  s->clear_postgres_action_duration();
  if (s->has_primary_status()) {
    s->mutable_primary_status()->clear_lsn();
  }
  if (s->has_replication_status()) {
    multipoolermanagerdata::StandbyReplicationStatus* r = s->mutable_replication_status();
    r->clear_last_replay_lsn();
    r->clear_last_receive_lsn();
    r->clear_lag();
    r->clear_last_xact_replay_timestamp();
    r->clear_last_msg_receive_time();
    r->clear_last_receive_lsn_advance_time();
  }
  if (status.consensus_status().has_current_position()) {
    status.mutable_consensus_status()->mutable_current_position()->clear_lsn();
  }
  return status.SerializeAsString();
}

}  // namespace

void HealthHub::Publish(const multipoolermanagerdata::StatusResponse& status) {
  std::string shape = Shape(status);
  std::lock_guard lock(mutex_);
  latest_.status = status;
  if (shape != shape_ || latest_.version == 0) {
    shape_ = std::move(shape);
    ++latest_.version;
    changed_.notify_all();
  }
}

HealthHub::Snapshot HealthHub::Latest() const {
  std::lock_guard lock(mutex_);
  return latest_;
}

HealthHub::Wake HealthHub::Wait(std::uint64_t seen, const bool* kicked, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (closed_) {
      return Wake::kClosed;
    }
    if (*kicked) {
      return Wake::kKicked;
    }
    if (latest_.version != seen) {
      return Wake::kChanged;
    }
    if (changed_.wait_until(lock, absl::ToChronoTime(deadline)) == std::cv_status::timeout) {
      return Wake::kTimeout;
    }
  }
}

void HealthHub::Kick(bool* flag) {
  std::lock_guard lock(mutex_);
  *flag = true;
  changed_.notify_all();
}

void HealthHub::Clear(bool* flag) {
  std::lock_guard lock(mutex_);
  *flag = false;
}

bool HealthHub::IsSet(const bool* flag) const {
  std::lock_guard lock(mutex_);
  return *flag;
}

void HealthHub::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace mg::multipooler
