/// Watches one shard and acts on it: an owned thread that decides again at each event. Any thread may call its methods.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/topology/topology.h"
#include "components/multiorch/decision.h"
#include "components/multiorch/health_stream.h"
#include "components/multiorch/peer_orchs.h"
#include "components/multiorch/pooler_client.h"
#include "components/multiorch/shard_view.h"

namespace mg::multiorch {

struct EngineOptions {
  clustermetadata::ShardKey shard;
  clustermetadata::ID self;
  absl::Duration health_interval = absl::Seconds(5);
  absl::Duration cycle = absl::Seconds(1);  ///< longest time between two decisions
  rpc::Dialer dialer;                       ///< to poolers
};

class ShardEngine {
 public:
  /// `topology` must outlive it.
  ShardEngine(EngineOptions options, topology::Topology* topology);
  ~ShardEngine();

  void Start();
  void Stop();  ///< ends an action under way

  /// What it knows now.
  ShardView View() const;
  /// Acts no more from the return on; watching goes on.
  void Disable();
  void Enable();
  bool enabled() const { return enabled_; }
  /// Decides now; returns when one decision has been made and carried out, or at the deadline (false).
  bool RunOnce(absl::Time deadline);
  /// Waits for the next event, whatever it is.
  void WaitForEvent(absl::Time deadline);

  /// Changes the rule as wished; ends an ordinary action first. What has no name, no member or no policy stays as it
  /// is. A change that the leader can make by itself interrupts nothing; any other appoints anew, under the outgoing
  /// rule's quorum or with a certificate. The rule that came of it. FAILED_PRECONDITION, ABORTED: another rule than
  /// `expected` (none: any) is in force.
  absl::StatusOr<clustermetadata::ShardRule> ChangeRule(RuleWish wish, const clustermetadata::RuleNumber& expected,
                                                        const std::string& reason, absl::Time deadline,
                                                        const std::function<bool()>& cancelled);

  /// Of nodes that are equally far, the next leader, until then.
  void Prefer(const clustermetadata::ID& pooler, absl::Time until);

  /// For other orchs: whether the appointment under `term` is under way here, and has not taken too long.
  bool AtWork(std::int64_t term) const;
  /// For other orchs: whether the pooler is heard here, and its PostgreSQL answers.
  bool Hears(const clustermetadata::ID& pooler) const;

  const clustermetadata::ShardKey& shard() const { return options_.shard; }

 private:
  struct Link;
  struct Task {
    std::thread thread;
    std::shared_ptr<PoolerClient> client;
    std::shared_ptr<std::atomic<bool>> done;
  };

  void Loop();
  void PoolersChanged(const std::vector<clustermetadata::Multipooler>& poolers);
  void UpdateLinks();
  void ReadTopology();
  void Forget(absl::Time watching_since);
  absl::Status Run(const Action& action, ShardView view);
  absl::StatusOr<clustermetadata::ShardRule> RunAppointment(const ShardView& view, const Action& action,
                                                            const std::function<bool()>& cancelled);
  bool ConsultPeers(const Action& action);
  void Maintain(const Action& action, const ShardView& view);
  void StartTask(const PoolerView& pooler, std::function<void(PoolerClient*)> work);
  void ReapTasks(bool all);
  void Wake();

  const EngineOptions options_;
  topology::Topology* const topology_;

  mutable std::mutex mutex_;  ///< guards the rest up to thread_
  std::condition_variable changed_;
  ShardView view_;
  std::vector<clustermetadata::Multipooler> records_;      ///< of the shard, without those that have shut down
  std::vector<clustermetadata::Multipooler> all_records_;  ///< with them
  bool records_changed_ = false;
  std::uint64_t events_ = 0;
  std::uint64_t decided_ = 0;  ///< events_ as of the last finished decision
  bool rule_change_running_ = false;

  std::atomic<std::int64_t> appointing_term_{0};   ///< 0: no appointment is under way
  std::atomic<std::int64_t> appointing_since_{0};  ///< Unix nanoseconds
  PeerOrchs peers_;

  std::atomic<bool> enabled_{true};
  std::mutex acting_;  ///< held while an action runs
  std::atomic<bool> stop_{false};
  std::map<std::string, std::unique_ptr<Link>> links_;  ///< the loop's thread only
  std::list<Task> tasks_;                               ///< the loop's thread only
  std::thread thread_;
  std::unique_ptr<topology::Topology::Watch> pooler_watch_;
  std::unique_ptr<topology::Topology::Watch> orch_watch_;
  std::unique_ptr<topology::Topology::Watch> claim_watch_;
};

}  // namespace mg::multiorch
