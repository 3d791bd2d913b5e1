/// What is being done with a cluster, kept for the life of an object: on disk, and for whoever asks meanwhile.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "agentd/provisioners/local/clusters.h"
#include "agentd/store/cluster_store.h"

namespace mg::local {

/// Keeps on disk, for its life, that the whole cluster is being brought up or stopped.
class UnderWay {
 public:
  static void Mark(store::ClusterRecord* record, const std::string& kind, const std::string& boot_id) {
    record->set_under_way(kind);
    record->set_under_way_boot(boot_id);
  }
  explicit UnderWay(std::shared_ptr<store::ClusterStore> store) : store_(std::move(store)) {}
  ~UnderWay() {
    if (store_ != nullptr) {
      (void)store_->Update([](store::ClusterRecord* record) {
        record->clear_under_way();
        record->clear_under_way_boot();
      });
    }
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  const std::shared_ptr<store::ClusterStore> store_;
};

/// Says for its life that something is under way on a cluster.
class ActivityMark {
 public:
  ActivityMark(Cluster* cluster, Activity activity)
      : cluster_(cluster), before_(cluster->activity.exchange(activity)) {}
  ~ActivityMark() { cluster_->activity = before_; }
  ActivityMark(const ActivityMark&) = delete;
  ActivityMark& operator=(const ActivityMark&) = delete;

 private:
  Cluster* const cluster_;
  const Activity before_;
};

}  // namespace mg::local
