/// The topology: upstream's keys and records in etcd (values are plain protobuf). Typed reads and writes over one etcd
/// client per cell, each cell's entry point read from the global topology. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"

namespace grpc {
class ChannelCredentials;
}

namespace mg::topology {

template <typename T>
struct Versioned {
  T record;
  std::int64_t version = 0;  ///< etcd mod revision
};

/// What could be read of all cells.
template <typename T>
struct Everywhere {
  std::vector<T> records;
  std::vector<std::string> unread;  ///< cells whose records could not be read
};

/// multipooler-zone1-abc; the directory name in the cell's topology.
std::string IdString(const clustermetadata::ID& id);
/// zone1_abc; PostgreSQL's application_name and the form in which rules are stored.
std::string ClusterIdString(const clustermetadata::ID& id);
/// The reverse of ClusterIdString, for a pooler. INVALID_ARGUMENT.
absl::StatusOr<clustermetadata::ID> ParseClusterId(const std::string& text);
/// postgres/default/0-inf
std::string ShardKeyString(const clustermetadata::ShardKey& key);
/// Of a table group with these shards: `unsharded` where one has all keys, else `sharded`.
std::string TableGroupType(const std::vector<std::string>& shards);
/// 8 characters of upstream's alphabet bcdfghjklmnpqrstvwxz2456789.
std::string RandomName();
/// Letters, digits and '-', not empty, not `global`, no '_'; at most 40 characters. INVALID_ARGUMENT with the rule.
absl::Status ValidateCellName(const std::string& name);
/// hostname:port_map[port_name]; NOT_FOUND when there is no such port.
template <typename Record>
absl::StatusOr<std::string> AddressOf(const Record& record, const std::string& port_name) {
  auto it = record.port_map().find(port_name);
  if (it == record.port_map().end()) {
    return absl::NotFoundError("the record has no port named " + port_name);
  }
  return record.hostname() + ":" + std::to_string(it->second);
}

class Topology {
 public:
  /// `servers` and `root` are --topo-global-server-addresses and --topo-global-root.
  /// Without credentials etcd is spoken to in plaintext.
  static std::unique_ptr<Topology> Create(const std::vector<std::string>& servers, const std::string& root,
                                          std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);
  virtual ~Topology() = default;

  virtual absl::StatusOr<std::vector<std::string>> CellNames(absl::Time deadline) = 0;
  virtual absl::StatusOr<Versioned<clustermetadata::Cell>> GetCell(const std::string& name, absl::Time deadline) = 0;
  virtual absl::Status CreateCell(const clustermetadata::Cell& cell, absl::Time deadline) = 0;
  /// Waits for the cell's record by a watch; true: it is there.
  virtual bool AwaitCell(const std::string& name, absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<std::string>> DatabaseNames(absl::Time deadline) = 0;
  virtual absl::StatusOr<Versioned<clustermetadata::Database>> GetDatabase(const std::string& name,
                                                                           absl::Time deadline) = 0;
  virtual absl::Status CreateDatabase(const clustermetadata::Database& database, absl::Time deadline) = 0;

  virtual absl::StatusOr<std::vector<clustermetadata::Multipooler>> Poolers(const std::string& cell,
                                                                            absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<clustermetadata::Multigateway>> Gateways(const std::string& cell,
                                                                              absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<clustermetadata::Multiorch>> Orchs(const std::string& cell,
                                                                        absl::Time deadline) = 0;
  /// The gateways of all cells, by one read of each etcd, all at once.
  virtual absl::StatusOr<Everywhere<clustermetadata::Multigateway>> AllGateways(absl::Time deadline) = 0;
  /// Whole record, create or overwrite; the cell is the id's.
  virtual absl::Status PutPooler(const clustermetadata::Multipooler& record, absl::Time deadline) = 0;
  virtual absl::Status PutGateway(const clustermetadata::Multigateway& record, absl::Time deadline) = 0;
  virtual absl::Status PutOrch(const clustermetadata::Multiorch& record, absl::Time deadline) = 0;
  /// Gone already is success.
  virtual absl::Status DeletePooler(const clustermetadata::ID& id, absl::Time deadline) = 0;
  virtual absl::Status DeleteGateway(const clustermetadata::ID& id, absl::Time deadline) = 0;
  virtual absl::Status DeleteOrch(const clustermetadata::ID& id, absl::Time deadline) = 0;

  /// The shard's initialisation claim. In our components `claimer_id` is the SEED POOLER's id (component MULTIPOOLER).
  virtual absl::StatusOr<Versioned<clustermetadata::ShardInitClaim>> GetClaim(const clustermetadata::ShardKey& shard,
                                                                              absl::Time deadline) = 0;
  virtual absl::Status CreateClaim(const clustermetadata::ShardKey& shard, const clustermetadata::ShardInitClaim& claim,
                                   absl::Time deadline) = 0;  ///< ALREADY_EXISTS
  virtual absl::Status ReplaceClaim(const clustermetadata::ShardKey& shard,
                                    const clustermetadata::ShardInitClaim& claim, std::int64_t version,
                                    absl::Time deadline) = 0;  ///< ABORTED

  class Watch {
   public:
    virtual ~Watch() = default;
  };
  /// Follows all poolers of all cells (cells that come later included). `changed` gets the complete present list after
  /// each change; calls come one at a time from a watch thread. Each costs a thread for each etcd that holds cells (at
  /// most 64), whatever the number of cells.
  virtual std::unique_ptr<Watch> WatchPoolers(
      std::function<void(std::vector<clustermetadata::Multipooler>)> changed) = 0;
  virtual std::unique_ptr<Watch> WatchGateways(
      std::function<void(std::vector<clustermetadata::Multigateway>)> changed) = 0;
  virtual std::unique_ptr<Watch> WatchOrchs(std::function<void(std::vector<clustermetadata::Multiorch>)> changed) = 0;
  /// Follows the shard's claim; nullopt-like: `claim` has no claimer_id when the key is absent.
  virtual std::unique_ptr<Watch> WatchClaim(const clustermetadata::ShardKey& shard,
                                            std::function<void(const clustermetadata::ShardInitClaim&)> changed) = 0;
};

}  // namespace mg::topology
