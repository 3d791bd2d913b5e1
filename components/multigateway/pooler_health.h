/// What each pooler says of itself, at once and while etcd is away: one StreamPoolerHealth stream per pooler
/// (manager-rpcs section 3). Any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "clustermetadata.pb.h"
#include "common/rpc/dialer.h"

namespace mg::multigateway {

class PoolerHealth {
 public:
  struct State {
    clustermetadata::PoolerServingStatus serving = clustermetadata::DISABLED;
    clustermetadata::RoutingState routing;
  };

  /// `changed` is called from gRPC's threads, one at a time, after each message and each end of a stream; it may ask
  /// Of.
  PoolerHealth(rpc::Dialer dialer, std::function<void()> changed);
  ~PoolerHealth();
  /// Ends all streams, waits for them, and follows nobody any more.
  void Stop();

  /// From now on these are followed, and no others. Poolers without a gRPC port are left out.
  void Follow(const std::vector<clustermetadata::Multipooler>& poolers);

  /// The last word of a stream that is up; none for a pooler that is not reached.
  std::optional<State> Of(const clustermetadata::ID& id) const;

 private:
  class Stream;
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::mutex streams_mutex_;                                ///< guards the rest
  std::map<std::string, std::shared_ptr<Stream>> streams_;  ///< by pooler id
  bool stopped_ = false;
};

}  // namespace mg::multigateway
