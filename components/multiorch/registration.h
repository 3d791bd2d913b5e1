/// An orch's record in the topology: written with retries, deleted at an orderly end. Any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "clustermetadata.pb.h"
#include "common/topology/topology.h"

namespace mg::multiorch {

class Registration {
 public:
  Registration(topology::Topology* topology, clustermetadata::Multiorch record);
  ~Registration();
  void Start();
  bool registered() const { return registered_; }
  /// Ends the tries and deletes the record; about a second at most.
  void Remove();

 private:
  void Loop();
  void StopLoop();

  topology::Topology* const topology_;
  const clustermetadata::Multiorch record_;
  std::atomic<bool> registered_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mg::multiorch
