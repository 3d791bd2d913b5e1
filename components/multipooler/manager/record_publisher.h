/// Keeps this pooler's record in the topology as it should be: whole-record writes from one thread, the latest wanted
/// form only, retried until it is there. Any thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/topology/topology.h"

namespace mg::multipooler {

class RecordPublisher {
 public:
  explicit RecordPublisher(topology::Topology* topology);
  ~RecordPublisher();

  /// The record as it should be now. Equal to the last one: nothing happens.
  void Want(const clustermetadata::Multipooler& record);
  /// Waits until the wanted record is written. DEADLINE_EXCEEDED.
  absl::Status WaitWritten(absl::Time deadline);
  /// The last wanted record is in the topology.
  bool written() const;

 private:
  void Loop();

  topology::Topology* topology_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<clustermetadata::Multipooler> wanted_;
  std::string wanted_bytes_;
  std::string written_bytes_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mg::multipooler
