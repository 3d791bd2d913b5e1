/// What this node has promised to coordinators, on disk: `<pooler-dir>/consensus_promises.json`, proto JSON as upstream
/// writes it. A promise is on disk before anybody hears of it. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clustermetadata.pb.h"

namespace mg::multipooler {

class PromiseStore {
 public:
  /// Reads the file; absent is "nothing promised". DATA_LOSS when it is there and cannot be understood: a node that has
  /// forgotten its promises must not take part.
  static absl::StatusOr<std::unique_ptr<PromiseStore>> Open(const std::string& path);

  clustermetadata::ConsensusPromises Get() const;
  /// Replaces the promises, on disk first (fsync of file and directory). On error the old ones stand.
  absl::Status Put(const clustermetadata::ConsensusPromises& promises);

 private:
  PromiseStore(std::string path, clustermetadata::ConsensusPromises promises);
  const std::string path_;
  mutable std::mutex mutex_;
  clustermetadata::ConsensusPromises promises_;
};

}  // namespace mg::multipooler
