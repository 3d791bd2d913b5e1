/// The pooler's manager: looks after its PostgreSQL (through pgctld), takes part in the shard's consensus, says what
/// may be served, and keeps the topology record. It does not carry clients' traffic (see pool/). Facts: manager-rpcs
/// sections 6, 7 and 10.
///
/// Threads: the monitor's own thread watches and repairs; RPC methods run on their callers' threads. Whatever changes
/// PostgreSQL or the rule holds the one action lock. RPC methods block until their deadline at most.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fs/unique_fd.h"
#include "common/pgsql/connection.h"
#include "common/topology/topology.h"
#include "components/multipooler/manager/config.h"
#include "components/multipooler/manager/data_watch.h"
#include "components/multipooler/manager/health_hub.h"
#include "components/multipooler/manager/manager_state.h"
#include "components/multipooler/manager/monitor_decision.h"
#include "components/multipooler/manager/pgctld_client.h"
#include "components/multipooler/manager/postmaster_probe.h"
#include "components/multipooler/manager/promise_store.h"
#include "components/multipooler/manager/quorum_watch.h"
#include "components/multipooler/manager/record_publisher.h"
#include "components/multipooler/manager/restore_order.h"
#include "components/multipooler/manager/rule_store.h"
#include "components/multipooler/manager/serving_state.h"
#include "consensusdata.pb.h"
#include "multigres/pooler/v1/backup.pb.h"
#include "multigres/pooler/v1/drain.pb.h"
#include "multigres/pooler/v1/rule.pb.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multipooler {

namespace backup {
class Repository;
}

class Manager {
 public:
  /// `topology` and `serving` must outlive it. DATA_LOSS when the promises on disk cannot be read.
  static absl::StatusOr<std::unique_ptr<Manager>> Create(Config config, topology::Topology* topology,
                                                         ServingState* serving);
  ~Manager();

  /// Starts to look after PostgreSQL.
  void Start();
  /// From now on (gRPC listens) the record is in the topology.
  void Publish();
  /// The end: nothing is served, PostgreSQL is stopped, the record says SHUTDOWN. Each step has its limit; about a
  /// second in all. Start is not possible again.
  void Stop();

  HealthHub& health() { return health_; }
  const Config& config() const { return config_; }
  /// The record's first write has happened.
  bool registered() const { return publisher_.written(); }

  // MultipoolerManager.
  multipoolermanagerdata::StatusResponse Status();
  void SetRestartsEnabled(bool enabled);
  absl::StatusOr<multipoolermanagerdata::ResignLeadershipResponse> ResignLeadership(absl::Time deadline);
  /// FAILED_PRECONDITION while it leads.
  absl::StatusOr<multigres::pooler::v1::SetDrainResponse> SetDrain(
      const multigres::pooler::v1::SetDrainRequest& request, absl::Time deadline);
  absl::Status WaitForLsn(const std::string& target, absl::Time deadline, const std::function<bool()>& cancelled);
  absl::Status StartReplication(absl::Time deadline);
  absl::Status StopReplication(const multipoolermanagerdata::StopReplicationRequest& request, absl::Time deadline);
  absl::StatusOr<multipoolermanagerdata::ReloadConfigResponse> ReloadConfig(
      const multipoolermanagerdata::ReloadConfigRequest& request, absl::Time deadline);

  /// Returns OK when what is committed here at the time of the call is durable by the rule, as its standbys say. Waits
  /// for that while this node leads, 10 s at most. Any thread, no action is waited for.
  absl::Status ConfirmCommits();

  /// The segment of WAL at which archiving fails, by the last look; empty: none.
  std::string ArchiveFailsAt() const;

  // Backups; these wait for no action of the consensus, and hold none up.
  absl::StatusOr<multipoolermanagerdata::BackupResponse> Backup(const multipoolermanagerdata::BackupRequest& request,
                                                                absl::Time deadline);
  absl::StatusOr<multipoolermanagerdata::GetBackupsResponse> GetBackups(
      const multipoolermanagerdata::GetBackupsRequest& request, absl::Time deadline);
  absl::StatusOr<multipoolermanagerdata::GetBackupByJobIdResponse> GetBackupByJobId(
      const multipoolermanagerdata::GetBackupByJobIdRequest& request, absl::Time deadline);
  absl::StatusOr<multipoolermanagerdata::ExpireBackupsResponse> ExpireBackups(
      const multipoolermanagerdata::ExpireBackupsRequest& request, absl::Time deadline,
      const std::function<bool()>& left);
  absl::StatusOr<multipoolermanagerdata::VerifyBackupsResponse> VerifyBackups(absl::Time deadline,
                                                                              const std::function<bool()>& left);
  absl::StatusOr<multigres::pooler::v1::ResetForRestoreResponse> ResetForRestore(
      const multigres::pooler::v1::ResetForRestoreRequest& request, absl::Time deadline,
      const std::function<bool()>& left);
  /// How a restore ended; with the request's `wait` once that is known here, or at the deadline.
  multigres::pooler::v1::GetRestoreOutcomeResponse RestoreOutcome(
      const multigres::pooler::v1::GetRestoreOutcomeRequest& request, absl::Time deadline) const;

  // MultipoolerConsensus.
  absl::StatusOr<clustermetadata::ConsensusStatus> Recruit(const consensusdata::RecruitRequest& request,
                                                           absl::Time deadline);
  absl::StatusOr<clustermetadata::ConsensusStatus> Promote(const consensusdata::PromoteRequest& request,
                                                           absl::Time deadline);
  absl::StatusOr<clustermetadata::ConsensusStatus> SetPrimary(const consensusdata::SetPrimaryRequest& request,
                                                              absl::Time deadline);
  absl::StatusOr<clustermetadata::PoolerPosition> UpdateConsensusRule(
      const multipoolermanagerdata::UpdateConsensusRuleRequest& request, absl::Time deadline);
  /// Errors as in the contract.
  absl::StatusOr<multigres::pooler::v1::ChangePolicyResponse> ChangePolicy(
      const multigres::pooler::v1::ChangePolicyRequest& request, absl::Time deadline);

 private:
  using ConnectionPtr = std::shared_ptr<pgsql::Connection>;

  /// Holds the action lock; tells the monitor when it goes.
  class Action {
   public:
    Action(Action&&) = default;
    ~Action();

   private:
    friend class Manager;
    Action(Manager* manager, std::unique_lock<std::timed_mutex> lock) : manager_(manager), lock_(std::move(lock)) {}
    Manager* manager_;
    std::unique_lock<std::timed_mutex> lock_;
  };

  Manager(Config config, topology::Topology* topology, ServingState* serving, std::unique_ptr<PromiseStore> promises);

  // manager.cpp: state and what follows from it.
  absl::StatusOr<Action> Begin(absl::Time deadline);
  void Poke();
  /// Changes the state, then everything that is derived from it (serving first).
  template <typename F>
  void Change(F change) {
    {
      std::lock_guard lock(mutex_);
      change(state_);
    }
    PublishState();
  }
  void PublishState();
  ManagerState Snapshot() const;
  absl::StatusOr<ConnectionPtr> Connect(absl::Time deadline) const;
  /// The connection for actions; made when there is none.
  absl::StatusOr<ConnectionPtr> Control(absl::Time deadline);
  void DropControl();
  absl::StatusOr<PostgresView> LookNow(pgsql::Connection& connection, absl::Time deadline);
  void SetView(const PostgresView& view);
  void LeaveOutReplayed(PostgresView* view) const;
  absl::StatusOr<clustermetadata::ConsensusStatus> ConsensusStatusNow(absl::Time deadline);

  // monitor.cpp
  void MonitorLoop();
  void Look();
  void Beat();
  void CheckQuorum();
  void CheckStalled();
  void DropAside();
  void Connected(bool connected, PgState state);
  Observation Observe() const;
  absl::Status Act(MonitorAction action);
  void WaitForEvent(absl::Duration limit);

  // bootstrap.cpp: what the monitor does.
  absl::Status Bootstrap();
  absl::Status CheckNobodyHasData(const ManagerState& state) const;
  absl::Status Clone();
  absl::Status StartStandby();
  absl::Status RestartInPlace();
  absl::StatusOr<bool> PointToLeader();
  absl::Status StartFollowing(bool suspected_divergence, absl::Duration limit);

  // replace_data.cpp
  std::optional<clustermetadata::ReplicationPrimary> LeaderElsewhere(const ManagerState& state) const;
  absl::Status CheckLeads(const ManagerState& state, const clustermetadata::ID& leader) const;
  absl::Status BlockRecruitsBelow(const PostgresView& view);
  absl::Status ReplaceData();
  absl::Status ReplaceFrom(const clustermetadata::PoolerAddress& source, const ManagerState& state);

  void SetAction(multipoolermanagerdata::PostgresAction action);
  absl::Status BeginData(const std::optional<multigres::pooler::v1::ResetForRestoreRequest>& order);

  // prepare_restore.cpp
  absl::StatusOr<multigres::pooler::v1::ResetForRestoreResponse> ArchiveNow(absl::Time deadline);
  absl::StatusOr<multigres::pooler::v1::ResetForRestoreResponse> PrepareRestore(
      const multigres::pooler::v1::ResetForRestoreRequest& order, absl::Time deadline,
      const std::function<bool()>& left);
  absl::Status FillFresh(const multigres::pooler::v1::ResetForRestoreRequest& order, const std::string& timeline,
                         const std::atomic<bool>* cancelled);
  absl::Status FillAndRehearse(const multigres::pooler::v1::ResetForRestoreRequest& order, absl::Time deadline,
                               const std::atomic<bool>* cancelled);
  absl::StatusOr<std::vector<std::string>> WaysTo(const multigres::pooler::v1::ResetForRestoreRequest& order);
  absl::Status RestoreData(const multigres::pooler::v1::ResetForRestoreRequest& order);

  // put_back.cpp; all on the monitor's thread, under the action lock.
  absl::Status EndRestore(const multigres::pooler::v1::ResetForRestoreRequest& order);
  bool MustPutBack(const multigres::pooler::v1::ResetForRestoreRequest& order) const;
  absl::Status PutBack(const multigres::pooler::v1::ResetForRestoreRequest& order, const absl::Status& failure);
  absl::Status FinishPutBack();
  absl::Status AwaitRestore();
  absl::StatusOr<multigres::pooler::v1::GetRestoreOutcomeResponse> AskForOutcome(
      const clustermetadata::ID& member, const multigres::pooler::v1::GetRestoreOutcomeRequest& question) const;

  // backups.cpp
  absl::Status SetAside(bool again);
  absl::StatusOr<std::unique_ptr<backup::Repository>> OpenRepository() const;
  absl::Status PrepareArchive();
  std::int64_t HighestTerm(const ManagerState& state) const;
  absl::Status BeginAbove(std::int64_t term);
  absl::Status ForgetFormerRules(pgsql::Connection& connection, absl::Time deadline);
  absl::Status CloneFromBackup(const multigres::pooler::v1::ResetForRestoreRequest& order, const std::string& host,
                               int port);

  // rule_actions.cpp, recruit.cpp, set_primary.cpp; all under the action lock.
  absl::Status Resume();
  absl::Status DemoteLocked(absl::Time deadline);
  absl::Status AwaitShortStatements(pgsql::Connection& connection, absl::Time until, absl::Time deadline);
  absl::StatusOr<Load> DrainLocked(pgsql::Connection& connection, absl::Time deadline);
  absl::Status HandOverLocked(pgsql::Connection& connection, absl::Time deadline);
  absl::Status SealLocked(pgsql::Connection& connection, absl::Time deadline);
  absl::Status RecruitStandbyLocked(const clustermetadata::TermRevocation& revocation, absl::Time deadline);
  absl::Status WriteRuleLocked(pgsql::Connection& connection, const clustermetadata::RulePosition& position,
                               const clustermetadata::ShardRule& rule, const RuleEvent& event);
  absl::Status DurablyDecide(pgsql::Connection& connection, const clustermetadata::ShardRule& from,
                             const clustermetadata::ShardRule& rule);
  absl::Status ConfirmDurable(pgsql::Connection& connection, const clustermetadata::ShardRule& from,
                              const clustermetadata::ShardRule& rule, const absl::Status& written);
  absl::Status AwaitDurable(pgsql::Connection& connection, absl::Time deadline, const std::function<bool()>& go_on);
  absl::Status CheckOwnRule(const PostgresView& view) const;
  absl::Status WriteOwnRuleLocked(pgsql::Connection& connection, const PostgresView& view,
                                  const clustermetadata::ShardRule& to, const RuleEvent& event, absl::Time deadline);
  absl::Status AdvanceLocked(pgsql::Connection& connection, clustermetadata::ShardRule* rule,
                             const std::string& reason);
  void BecomeLeader(const clustermetadata::ShardRule& rule);
  absl::Status FollowLocked(const clustermetadata::ReplicationPrimary& primary, absl::Time deadline);
  absl::Status RewindLocked(const clustermetadata::ReplicationPrimary& primary, bool try_rewind);
  bool HasLeaderToFollow(const ManagerState& state) const;
  absl::Status FollowAgainLocked();
  absl::StatusOr<bool> CopyWhatIsLostLocked(const clustermetadata::ReplicationPrimary& asked, absl::Time deadline);
  absl::StatusOr<pgsql::ConnectOptions> LeaderConnection(const clustermetadata::ReplicationPrimary& primary) const;
  absl::StatusOr<bool> DivergedLocked(const pgsql::ConnectOptions& leader, const PostgresView& view,
                                      absl::Time deadline);
  void CheckpointInBackground();

  const Config config_;
  topology::Topology* const topology_;
  ServingState* const serving_;
  const std::unique_ptr<PromiseStore> promises_;
  PgctldClient pgctld_;
  RecordPublisher publisher_;
  HealthHub health_;

  std::timed_mutex action_mutex_;
  std::atomic<int> recruits_waiting_ = 0;      ///< for the action under way to end
  std::atomic<std::int64_t> writing_term_{0};  ///< term of the rule being written; 0: none

  mutable std::mutex mutex_;  ///< guards state_, publish_ and epoch_
  ManagerState state_;
  bool publish_ = false;
  std::uint64_t epoch_ = 0;   ///< raised by each action that changed what PostgreSQL is; older looks are void
  std::mutex publish_mutex_;  ///< orders what observers see; taken before mutex_

  std::mutex control_mutex_;  ///< guards control_
  ConnectionPtr control_;

  ConnectionPtr watched_;  ///< the monitor's own; its thread only, as the next
  PostmasterProbe postmaster_;
  bool streams_ = false;
  absl::Time next_beat_ = absl::InfinitePast();
  absl::Time stalled_since_ = absl::InfiniteFuture();   ///< by QuorumWatch's clock; that a standby receives nothing
  absl::Time in_place_until_ = absl::InfiniteFuture();  ///< by QuorumWatch's clock; to be confirmed as the leader again
  QuorumWatch quorum_;
  DataWatch data_watch_;
  std::atomic<bool> copy_cancelled_{false};  ///< of a copy that is made while the data still serves

  RestoreLedger restores_;
  std::mutex prepare_mutex_;  ///< guards the directory that a restore fills

  std::mutex confirm_mutex_;  ///< guards confirm_connection_
  ConnectionPtr confirm_connection_;

  std::timed_mutex status_mutex_;  ///< guards status_connection_
  ConnectionPtr status_connection_;
  UniqueFd wake_;
  std::atomic<bool> stop_{false};
  std::thread monitor_;
  std::thread checkpoint_;  ///< under the action lock
  std::mutex checkpoint_mutex_;
  ConnectionPtr checkpoint_connection_;
  std::unique_ptr<topology::Topology::Watch> pooler_watch_;
  std::unique_ptr<topology::Topology::Watch> claim_watch_;
};

}  // namespace mg::multipooler
