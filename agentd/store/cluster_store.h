/// The record of one cluster on disk: what was decided once and must be the same after a restart of anything. Every
/// change is on disk (atomic, fsynced) before it is acted upon. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "agentd/store/paths.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::store {

using ClusterRecord = multigres::state::v1::ClusterRecord;

inline constexpr int kRecordVersion = 1;

class ClusterStore {
 public:
  /// Reads <root>/cluster.json. Where that is lost or broken, its previous version is taken, corrected by what was
  /// launched, and written anew. NOT_FOUND when there is neither; DATA_LOSS, with a hint, when none can be understood.
  static absl::StatusOr<std::unique_ptr<ClusterStore>> Open(const std::string& root);
  /// A record that is not on disk yet: the first Update writes it.
  static std::unique_ptr<ClusterStore> New(const std::string& root, ClusterRecord record);

  /// A copy of the record.
  ClusterRecord Get() const;
  /// Changes it: on disk first, then in memory. A change that changes nothing writes nothing. The root must exist.
  absl::Status Update(const std::function<void(ClusterRecord*)>& change);
  /// The next generation of a component, already on disk.
  absl::StatusOr<std::int64_t> NextGeneration(const std::string& component);

  const Paths& paths() const { return paths_; }

 private:
  ClusterStore(const std::string& root, ClusterRecord record, bool on_disk)
      : paths_(root), record_(std::move(record)), on_disk_(on_disk) {}

  const Paths paths_;
  mutable std::mutex mutex_;
  ClusterRecord record_;
  bool on_disk_;
};

/// A random UUID (version 4).
std::string NewUuid();

}  // namespace mg::store
