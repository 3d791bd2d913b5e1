/// Command line of multiorch. Facts: components contract, sections 2 and 4.4.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/servenv/client_tls_flags.h"

namespace mg::flags {
class FlagSet;
}

namespace mg::multiorch {

struct Options {
  std::vector<std::string> topo_servers;
  std::string topo_root;
  std::string cell;
  std::string service_id;
  std::vector<std::string> watch_targets;
  absl::Duration health_interval = absl::Seconds(5);
  absl::Duration recovery_cycle = absl::Seconds(1);
  servenv::EtcdTlsFlags etcd_tls;
  servenv::PoolerTlsFlags pooler_tls;

  /// Binds the flags. Those of upstream that have no meaning here are taken and hidden.
  void AddTo(flags::FlagSet* flags);
  /// The shards to watch, each once. INVALID_ARGUMENT.
  absl::StatusOr<std::vector<clustermetadata::ShardKey>> Shards() const;
};

}  // namespace mg::multiorch
