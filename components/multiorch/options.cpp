#include "components/multiorch/options.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/flags/flags.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::multiorch {

void Options::AddTo(flags::FlagSet* flags) {
  flags->Add("topo-global-server-addresses", &topo_servers, "etcd endpoints, host:port");
  flags->Add("topo-global-root", &topo_root, "key prefix of the global topology");
  flags->Add("cell", &cell, "cell of this orch", {"MT_CELL"});
  flags->Add("service-id", &service_id, "name of this orch; empty: random", {"MT_SERVICE_ID"});
  flags->Add("watch-targets", &watch_targets, "what to watch: db, db/tablegroup or db/tablegroup/shard",
             {"MT_SHARD_WATCH_TARGETS"});
  flags->Add("pooler-health-check-interval", &health_interval, "between health snapshots when nothing changes",
             {"MT_POOLER_HEALTH_CHECK_INTERVAL"});
  flags->Add("recovery-cycle-interval", &recovery_cycle, "longest time between two decisions",
             {"MT_RECOVERY_CYCLE_INTERVAL"});
  flags->Accept<absl::Duration>({"bookkeeping-interval", "leader-failover-grace-period-base",
                                 "leader-failover-grace-period-max-jitter", "verify-replication-timeout",
                                 "leader-postgres-response-threshold", "lock-timeout", "remote-operation-timeout"});
  flags->Accept<int>({"health-check-workers", "topo-read-concurrency", "topo-etcd-lease-ttl"});
  etcd_tls.AddTo(flags);
  pooler_tls.AddTo(flags);
}

absl::StatusOr<std::vector<clustermetadata::ShardKey>> Options::Shards() const {
  if (topo_servers.empty() || topo_root.empty()) {
    return absl::InvalidArgumentError("--topo-global-server-addresses and --topo-global-root are required");
  }
  MG_RETURN_IF_ERROR(WithContext(topology::ValidateCellName(cell), "--cell"));
  if (watch_targets.empty()) {
    return absl::InvalidArgumentError("--watch-targets is required");
  }
  std::vector<clustermetadata::ShardKey> shards;
  std::set<std::string> seen;
  for (const std::string& target : watch_targets) {
    std::vector<std::string> parts = absl::StrSplit(target, '/');
    clustermetadata::ShardKey shard;
    shard.set_database(parts[0]);
    shard.set_table_group(parts.size() > 1 ? parts[1] : "default");
    shard.set_shard(parts.size() > 2 ? parts[2] : "0-inf");
    if (parts.size() > 3 || shard.database().empty() || shard.table_group() != "default" || shard.shard() != "0-inf") {
      return absl::InvalidArgumentError(
          absl::StrCat("--watch-targets: \"", target, "\" is not db, db/default or db/default/0-inf"));
    }
    if (seen.insert(topology::ShardKeyString(shard)).second) {
      shards.push_back(shard);
    }
  }
  return shards;
}

}  // namespace mg::multiorch
