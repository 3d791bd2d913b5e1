/// Asks every orch again and again what is amiss in the shard, to learn when the first of them noticed a fault. One
/// thread per orch; the public functions are for one thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

class OrchWatch {
 public:
  struct Detection {
    absl::Time when;
    std::string by;    ///< the orch's name
    std::string what;  ///< the problem's code and its description
  };

  /// Begins to ask. What is amiss before Mark is no news.
  explicit OrchWatch(const multigres::state::v1::FaultRecord& record);
  ~OrchWatch();
  OrchWatch(const OrchWatch&) = delete;
  OrchWatch& operator=(const OrchWatch&) = delete;

  /// From now on a problem that is new is the fault's.
  void Mark();
  std::optional<Detection> first() const;

 private:
  void Run(const std::string& name, int port);

  const std::string database_;
  mutable std::mutex mutex_;
  bool marked_ = false;
  std::set<std::string> known_;  ///< problems before the fault
  std::optional<Detection> first_;
  int ending_;  ///< descriptor that is readable once the threads should end
  std::vector<std::thread> threads_;
};

}  // namespace mg::local
