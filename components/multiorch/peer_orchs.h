/// The other orchs of a cluster, asked for their view before this one acts on its own. Any thread; calls block up to
/// their limit. Nothing that is safe rests on the answers: they save appointments that need not be.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/rpc/dialer.h"

namespace mg::multiorch {

class PeerOrchs {
 public:
  PeerOrchs(clustermetadata::ID self, rpc::Dialer dialer) : self_(std::move(self)), dialer_(std::move(dialer)) {}

  /// From now on these are the orchs; the own record is left out.
  void Update(const std::vector<clustermetadata::Multiorch>& records);

  /// Whether `coordinator` says that it is at work on its appointment under `term`. False when it does not answer.
  bool AtWork(const clustermetadata::ID& coordinator, const clustermetadata::ShardKey& shard, std::int64_t term,
              absl::Duration limit) const;

  struct Sight {
    int answered = 0;    ///< orchs
    bool heard = false;  ///< by any of them
  };
  /// Asks all at once; ends with the first that hears the pooler.
  Sight Ask(const clustermetadata::ShardKey& shard, const clustermetadata::ID& pooler, absl::Duration limit) const;

 private:
  const clustermetadata::ID self_;
  const rpc::Dialer dialer_;
  mutable std::mutex mutex_;                      ///< guards addresses_
  std::map<std::string, std::string> addresses_;  ///< by id
};

}  // namespace mg::multiorch
