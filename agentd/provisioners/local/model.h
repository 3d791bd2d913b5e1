/// Everything that is decided about one cluster at one moment: where it lives, its configuration, what runs each
/// component, on which ports. Built from the file, the record and the machine; the specs follow from it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/machine.h"
#include "agentd/provisioners/local/specs.h"
#include "agentd/store/cluster_store.h"
#include "common/config/cluster_config.h"
#include "common/net/port_reservation.h"

namespace mg::local {

/// What is under way on a cluster.
enum class Activity { kNone, kStarting, kStopping };

/// One cluster as long as the agent knows it. Any thread.
struct Cluster {
  std::atomic<Activity> activity = Activity::kNone;

  /// Copies of what others may replace at any time.
  config::ClusterPlace Place() {
    std::lock_guard lock(mutex);
    return place;
  }
  std::shared_ptr<store::ClusterStore> Store() {
    std::lock_guard lock(mutex);
    return store;
  }

  std::mutex mutex;  ///< guards all below
  config::ClusterPlace place;
  std::shared_ptr<store::ClusterStore> store;      ///< null: never brought up
  std::map<std::string, std::string> service_ids;  ///< chosen for a record that is not written yet
};

/// Components that run now, by the files of their run directories: of these cells, and of the record's later databases.
std::set<std::string> RunningComponents(const store::Paths& paths, const std::vector<std::string>& cells,
                                        const store::ClusterRecord& record);
/// Of the record's own cells.
std::set<std::string> RunningComponents(const store::Paths& paths, const store::ClusterRecord& record);

struct Model {
  config::ClusterPlace place;
  std::shared_ptr<store::ClusterStore> store;  ///< null: never brought up
  store::ClusterRecord record;                 ///< a copy; with what was chosen now
  SpecInput input;
  std::vector<v1::ComponentSpec> specs;
  std::vector<std::string> remarks;                 ///< worth telling when it is brought up
  std::vector<net::PortReservation> reservations;   ///< of ports that were chosen and are not used yet
  absl::Status ports = absl::OkStatus();            ///< a fixed port that is taken; the specs are not complete then
  absl::Status implementations = absl::OkStatus();  ///< a program that is missing; likewise

  absl::Status file = absl::OkStatus();       ///< the configuration file cannot be read; only with kLook
  std::set<std::string> added_cells;          ///< that the record does not have yet
  std::vector<std::string> removed_cells;     ///< that the record has, and the configuration no longer
  std::map<std::string, int> recorded_ports;  ///< of each PostgreSQL, before this was built
  std::set<std::string> to_restart;           ///< that run with another configuration (changes.h)

  const v1::ComponentSpec* Find(const std::string& component) const;
  absl::Status Complete() const;  ///< the first of the two problems
  int cell_count() const { return static_cast<int>(input.config.cells.size()); }
  /// Null: there is no such later database.
  const LaterDatabase* FindDatabase(const std::string& name) const;
};

enum class ModelUse {
  kLook,   ///< status, stop: only what the record says; never fails for a file that became unreadable
  kPlan,   ///< as for a start, but nothing is written or reserved
  kStart,  ///< chosen ports are reserved, and what was chosen is on disk when this returns
};

struct ModelContext {
  Machine* machine = nullptr;
  std::map<std::string, std::string> environment;  ///< the agent's
  unsigned uid = 0;
  std::set<int> ports_of_others;  ///< recorded by other clusters
  std::string provisioner = {};   ///< where components find the Provisioner API
};

/// `cells`: asked for by the caller when no file says it; 0: what the cluster has, or three.
absl::StatusOr<Model> BuildModel(Cluster* cluster, int cells, ModelUse use, const ModelContext& context);

}  // namespace mg::local
