#include "components/multipooler/manager/record_publisher.h"

#include <algorithm>
#include <chrono>

#include "absl/time/clock.h"
#include "common/log/log.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kWriteLimit = absl::Seconds(5);
constexpr auto kFirstRetry = std::chrono::milliseconds(20);
constexpr auto kLongestRetry = std::chrono::milliseconds(2000);

// Equal records give equal bytes; map order would differ otherwise.
std::string Bytes(const clustermetadata::Multipooler& record) {
  std::string bytes;
  {
    clustermetadata::Multipooler plain = record;
    plain.clear_port_map();
    bytes = plain.SerializeAsString();
  }
  std::map<std::string, int> ports(record.port_map().begin(), record.port_map().end());
  for (const auto& [name, port] : ports) {
    bytes += name + "=" + std::to_string(port) + ";";
  }
  return bytes;
}

}  // namespace

RecordPublisher::RecordPublisher(topology::Topology* topology) : topology_(topology), thread_([this] { Loop(); }) {}

RecordPublisher::~RecordPublisher() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RecordPublisher::Want(const clustermetadata::Multipooler& record) {
  std::string bytes = Bytes(record);
  std::lock_guard lock(mutex_);
  if (bytes != wanted_bytes_) {
    wanted_ = record;
    wanted_bytes_ = std::move(bytes);
    changed_.notify_all();
  }
}

bool RecordPublisher::written() const {
  std::lock_guard lock(mutex_);
  return wanted_.has_value() && wanted_bytes_ == written_bytes_;
}

absl::Status RecordPublisher::WaitWritten(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  while (wanted_bytes_ != written_bytes_) {
    if (changed_.wait_until(lock, absl::ToChronoTime(deadline)) == std::cv_status::timeout) {
      return absl::DeadlineExceededError("the topology record was not written in time");
    }
  }
  return absl::OkStatus();
}

void RecordPublisher::Loop() {
  std::unique_lock lock(mutex_);
  auto retry = kFirstRetry;
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || wanted_bytes_ != written_bytes_; });
    if (stopping_) {
      return;
    }
    clustermetadata::Multipooler record = *wanted_;
    std::string bytes = wanted_bytes_;
    lock.unlock();
    absl::Status status = topology_->PutPooler(record, absl::Now() + kWriteLimit);
    lock.lock();
    if (status.ok()) {
      written_bytes_ = bytes;
      retry = kFirstRetry;
      changed_.notify_all();
      continue;
    }
    log::Warn("could not write the topology record", {{"error", status}});
    changed_.wait_for(lock, retry, [&] { return stopping_ || wanted_bytes_ != bytes; });
    retry = std::min<decltype(retry)>(retry * 2, kLongestRetry);
  }
}

}  // namespace mg::multipooler
