/// The topology in memory, fed by watches of etcd: reads cost no round trip. One watch for the global topology, and one
/// for each etcd that holds cells, however many cells those are. Any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/etcd/etcd_client.h"
#include "common/topology/source_plan.h"

namespace mg::multiadmin {

template <typename Record>
using Records = std::vector<std::shared_ptr<const Record>>;

/// One cell, as it is known.
struct CellView {
  std::shared_ptr<const clustermetadata::Cell> cell;
  std::int64_t version = 0;
  absl::Status readable;  ///< why the cell's own records are not known, or not of now
  Records<clustermetadata::Multipooler> poolers;
  Records<clustermetadata::Multigateway> gateways;
  Records<clustermetadata::Multiorch> orchs;
};

struct DatabaseView {
  std::shared_ptr<const clustermetadata::Database> database;
  std::int64_t version = 0;
};

/// Everything, at one moment. Immutable. A record that did not change is the same object as in the view before.
struct TopologyView {
  std::int64_t revision = 0;  ///< grows with each change
  std::map<std::string, CellView> cells;
  std::map<std::string, DatabaseView> databases;
  std::set<std::string> claimed_shards;  ///< database/tablegroup/shard of initialisation claims
  std::set<std::string> broken;          ///< keys of cells and databases that cannot be decoded
};

class TopologyCache {
 public:
  using Connect = std::function<std::unique_ptr<etcd::Client>(const std::vector<std::string>& addresses)>;

  /// `servers` and `root` are the global topology's.
  TopologyCache(std::vector<std::string> servers, std::string root, Connect connect);
  ~TopologyCache();

  /// The global topology's client, for writes.
  etcd::Client* global() { return global_client_.get(); }
  const std::string& root() const { return root_; }
  const std::vector<std::string>& servers() const { return servers_; }

  /// The present view. Waits a little when an etcd has just gone or was not read yet; then UNAVAILABLE for the global
  /// one, while a cell's own is said in the view.
  absl::StatusOr<std::shared_ptr<const TopologyView>> Get(absl::Time deadline);

  /// Waits for a view with a property, from now on; false: the deadline came first.
  bool Await(const std::function<bool(const TopologyView&)>& holds, absl::Time deadline);
  /// Waits until a write of the global topology, which gave this revision, is in the view. Not longer than the
  /// deadline.
  void AwaitGlobal(std::int64_t revision, absl::Time deadline);

  /// Tells that there is another view, from a thread of this; the callback must be short and may call Peek. None comes
  /// after the subscription's end, which waits for one under way.
  class Subscription;
  std::unique_ptr<Subscription> Subscribe(std::function<void()> changed);
  /// The view as it is, without waiting; before the first reading nullptr.
  std::shared_ptr<const TopologyView> Peek();

  /// The etcd that holds a cell's records; nullptr: it is not known. Same as global() when it is the same one.
  std::shared_ptr<etcd::Client> CellClient(const std::string& cell);
  /// The one at these addresses; a new client where no cell lives there.
  std::shared_ptr<etcd::Client> ClientAt(const std::vector<std::string>& addresses);

 private:
  struct Entry {
    std::int64_t version = 0;
    std::shared_ptr<const google::protobuf::Message> record;  ///< nullptr: it cannot be decoded
  };
  struct Source {
    std::shared_ptr<etcd::Client> client;
    std::string prefix;
    std::map<std::string, Entry> entries;
    bool synced = false;
    absl::Time since = absl::InfinitePast();  ///< of not being synced
    std::string problem = "it was not read yet";
    std::int64_t seen = 0;
    std::unique_ptr<etcd::Client::Watch> watch;
  };

  void Follow(Source* source);
  bool Take(Source* source, const etcd::KeyValue& kv);
  void Changed();
  /// Notes what a change of a cell's record means for the sources; nullptr: it is gone.
  void Plan(const Source* source, const std::string& key, const google::protobuf::Message* record);
  void Keep();
  void Tell();
  std::shared_ptr<const TopologyView> ViewLocked();
  void AddComponentsLocked(CellView* cell) const;

  /// Each etcd costs a connection and a thread.
  static constexpr size_t kMaxSources = 64;

  const std::vector<std::string> servers_;
  const std::string root_;
  const Connect connect_;
  std::shared_ptr<etcd::Client> global_client_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t revision_ = 1;
  bool dirty_ = true, cells_changed_ = true, stopped_ = false;
  std::shared_ptr<const TopologyView> view_;
  Source global_;
  topology::SourcePlan plan_{kMaxSources};
  std::map<std::string, std::shared_ptr<Source>> sources_;  ///< by addresses
  std::mutex subscribers_mutex_;                            ///< held while they are told; taken before mutex_
  std::map<std::uint64_t, std::function<void()>> subscribers_;
  std::uint64_t next_subscriber_ = 0;
  std::thread keeper_, teller_;
};

class TopologyCache::Subscription {
 public:
  Subscription(TopologyCache* cache, std::uint64_t id) : cache_(cache), id_(id) {}
  ~Subscription();

 private:
  TopologyCache* const cache_;
  const std::uint64_t id_;
};

}  // namespace mg::multiadmin
