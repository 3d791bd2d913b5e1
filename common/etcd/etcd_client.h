/// A client of etcd's v3 gRPC API: conditional writes, prefix reads, watches, leases. Facts: package etcdserverpb,
/// /health. Any thread. Every call takes a deadline; UNAVAILABLE when no endpoint answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class ChannelCredentials;
}

namespace mg::etcd {

struct KeyValue {
  std::string key;
  std::string value;
  std::int64_t mod_revision = 0;
};

struct RangeResult {
  std::vector<KeyValue> entries;  ///< ascending by key
  std::int64_t revision = 0;      ///< of the store at this read; watch from revision + 1
  /// Of the etcd that answered. It comes from the members' peer addresses: two that were started apart with the same
  /// ones share it.
  std::uint64_t cluster_id = 0;
};

struct WatchEvent {
  bool deleted = false;
  KeyValue entry;  ///< value is empty for a deletion
};

/// Writes that happen together or not at all.
struct Transaction {
  struct Condition {
    std::string key;
    std::int64_t mod_revision = 0;  ///< that the key must have; 0: it must not exist
    /// Instead: no key that begins with `key` may have changed after `mod_revision`.
    bool prefix_unchanged_since = false;
  };
  std::vector<Condition> conditions;
  std::vector<std::pair<std::string, std::string>> puts;
  std::vector<std::string> deletes;
};

class Client {
 public:
  /// `endpoints` are host:port. Dials lazily; never fails for an etcd that is away.
  /// Without credentials it speaks plaintext.
  static std::unique_ptr<Client> Create(const std::vector<std::string>& endpoints,
                                        std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);
  virtual ~Client() = default;

  virtual absl::StatusOr<KeyValue> Get(const std::string& key, absl::Time deadline) = 0;  ///< NOT_FOUND
  virtual absl::StatusOr<RangeResult> GetPrefix(const std::string& prefix, bool keys_only, absl::Time deadline) = 0;
  /// ALREADY_EXISTS when the key exists. The new revision.
  virtual absl::StatusOr<std::int64_t> Create(const std::string& key, const std::string& value,
                                              absl::Time deadline) = 0;
  virtual absl::StatusOr<std::int64_t> Put(const std::string& key, const std::string& value, absl::Time deadline) = 0;
  /// ABORTED when the key's revision differs or the key is gone. The new revision.
  virtual absl::StatusOr<std::int64_t> PutIf(const std::string& key, const std::string& value,
                                             std::int64_t mod_revision, absl::Time deadline) = 0;
  virtual absl::Status Delete(const std::string& key, absl::Time deadline) = 0;  ///< NOT_FOUND
  virtual absl::Status DeleteIf(const std::string& key, std::int64_t mod_revision,
                                absl::Time deadline) = 0;  ///< ABORTED, NOT_FOUND
  /// ABORTED when a condition does not hold: nothing was written then. The new revision. At most 128 operations.
  virtual absl::StatusOr<std::int64_t> Commit(const Transaction& transaction, absl::Time deadline) = 0;

  /// Follows a prefix for ever: `snapshot` with the whole state first and again after each reconnect or compaction,
  /// then `event` for each change. Callbacks run on the watch's own thread, one at a time. Ends when the returned
  /// object goes (which waits for a callback under way; do not destroy it from one).
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  virtual std::unique_ptr<Watch> WatchPrefix(const std::string& prefix,
                                             std::function<void(const RangeResult&)> snapshot,
                                             std::function<void(const WatchEvent&)> event,
                                             std::function<void(const absl::Status&)> lost = nullptr) = 0;
};

}  // namespace mg::etcd
