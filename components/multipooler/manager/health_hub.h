/// The latest snapshot of this pooler, and a wake-up for everybody who streams it. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multipooler {

class HealthHub {
 public:
  struct Snapshot {
    multipoolermanagerdata::StatusResponse status;
    std::uint64_t version = 0;
  };

  /// Takes a snapshot. When more than positions and times differ from the last one, streams are woken (BROADCAST).
  void Publish(const multipoolermanagerdata::StatusResponse& status);
  Snapshot Latest() const;

  enum class Wake { kChanged, kTimeout, kClosed, kKicked };
  /// Waits until the version is no longer `seen`, until `*kicked` is set (by Kick), or the hub is closed.
  Wake Wait(std::uint64_t seen, const bool* kicked, absl::Time deadline);
  /// Sets a caller's flag under the hub's lock and wakes it.
  void Kick(bool* flag);
  void Clear(bool* flag);
  bool IsSet(const bool* flag) const;
  /// Ends all waits, now and later.
  void Close();

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Snapshot latest_;
  std::string shape_;
  bool closed_ = false;
};

}  // namespace mg::multipooler
