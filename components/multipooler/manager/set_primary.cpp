#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/consensus/revocation.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/divergence.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kRewindLimit = absl::Minutes(30);
constexpr absl::Duration kStopLimit = absl::Seconds(15);
constexpr absl::Duration kStartLimit = absl::Minutes(2);
// One that does not answer in this time is frozen or out of reach, and another one is about to lead.
constexpr absl::Duration kAskLeaderLimit = absl::Seconds(2);
constexpr absl::Duration kLeaderCheckpointLimit = absl::Minutes(5);

const clustermetadata::ShardRule& RuleOf(const clustermetadata::RulePosition& position) {
  return position.has_proposal() ? position.proposal() : position.decision();
}

absl::Status CheckSetPrimaryRequest(const consensusdata::SetPrimaryRequest& request, const Config& config) {
  const clustermetadata::ReplicationPrimary& asked = request.replication_primary();
  if (!asked.has_primary() || !asked.has_position()) {
    return absl::InvalidArgumentError("set primary: no primary, or no position");
  }
  const clustermetadata::ShardRule& rule = RuleOf(asked.position());
  if (!rule.has_leader_id()) {
    return absl::InvalidArgumentError("set primary: the rule has no leader");
  }
  if (!consensus::SameNode(rule.leader_id(), asked.primary().id())) {
    return absl::InvalidArgumentError("set primary: the primary is not the rule's leader");
  }
  if (asked.primary().host().empty() || asked.primary().postgres_port() == 0) {
    return absl::InvalidArgumentError("set primary: the primary has no host or no port");
  }
  if (consensus::SameNode(asked.primary().id(), config.id)) {
    return absl::InvalidArgumentError("set primary: this pooler is the primary itself");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<clustermetadata::ConsensusStatus> Manager::SetPrimary(const consensusdata::SetPrimaryRequest& request,
                                                                     absl::Time deadline) {
  MG_RETURN_IF_ERROR(CheckSetPrimaryRequest(request, config_));
  const clustermetadata::ReplicationPrimary& asked = request.replication_primary();
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  if (recruits_waiting_ > 0) {
    // Several orchs may tell of a leader that they are about to replace, and a dead one takes long to be asked.
    return absl::UnavailableError("set primary: a recruitment comes first");
  }
  if (consensus::IsRevoked(RuleOf(asked.position()).rule_number(), promises_->Get())) {
    return BuildConsensusStatus(config_, Snapshot(), promises_->Get());
  }
  absl::StatusOr<ConnectionPtr> connection = Control(deadline);
  if (!connection.ok()) {
    MG_ASSIGN_OR_RETURN(bool copied, CopyWhatIsLostLocked(asked, deadline));
    if (!copied) {
      return connection.status();
    }
    Change([&](ManagerState& state) { state.replication_primary = asked; });
    return ConsensusStatusNow(deadline);
  }
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(**connection, deadline));
  int order = consensus::Compare(consensus::HighestNumber(asked.position()), consensus::HighestNumber(view.rule));
  if (order < 0) {
    return BuildConsensusStatus(config_, Snapshot(), promises_->Get());
  }
  if (!view.in_recovery) {
    if (order == 0) {
      return absl::FailedPreconditionError("set primary: this pooler leads under the same rule");
    }
    MG_RETURN_IF_ERROR(DemoteLocked(deadline));
  }
  MG_RETURN_IF_ERROR(WithContext(FollowLocked(asked, deadline), "set primary"));
  Change([&](ManagerState& state) { state.replication_primary = asked; });
  return ConsensusStatusNow(deadline);
}

// Points a standby to its new primary, after a rewind when its log does not fit.
absl::Status Manager::FollowLocked(const clustermetadata::ReplicationPrimary& asked, absl::Time deadline) {
  if (Snapshot().manually_stopped) {
    return absl::OkStatus();  // until StartReplication
  }
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  std::string conninfo = PrimaryConninfo(config_, asked.primary().host(), asked.primary().postgres_port());
  bool led = view.has_rule && consensus::SameNode(view.rule.decision().leader_id(), config_.id);
  // A standby that was away may have more of an old leader's log than the new leader has.
  bool stuck = view.primary_conninfo == conninfo && view.receiver_status != "streaming";
  if (led || stuck || Snapshot().suspected_divergence) {
    MG_ASSIGN_OR_RETURN(pgsql::ConnectOptions leader, LeaderConnection(asked));
    MG_ASSIGN_OR_RETURN(bool diverged, DivergedLocked(leader, view, deadline));
    if (diverged) {
      // The present leader may be waiting for this node to make its rule durable, and says that it can be rewound from
      // only afterwards. So that is seen to from here.
      if (!asked.rewind_ready()) {
        MG_RETURN_IF_ERROR(PrepareSource(leader, absl::Now() + kLeaderCheckpointLimit));
      }
      return RewindLocked(asked, /*try_rewind=*/true);
    }
    Change([](ManagerState& state) { state.suspected_divergence = false; });
    if (stuck) {
      MG_ASSIGN_OR_RETURN(bool lost, LacksLogAt(leader, view.lsn, std::min(deadline, absl::Now() + kAskLeaderLimit)));
      if (lost) {
        return RewindLocked(asked, /*try_rewind=*/false);
      }
    }
  }
  MG_RETURN_IF_ERROR(WriteReplicationPassfile(config_));
  if (view.primary_conninfo != conninfo) {
    log::Info("follows", {{"primary", topology::IdString(asked.primary().id())},
                          {"rule", consensus::ToString(consensus::HighestNumber(asked.position()))}});
  }
  return ApplySettings(*connection, {{"primary_conninfo", conninfo}, {"synchronous_standby_names", std::nullopt}},
                       deadline);
}

absl::StatusOr<pgsql::ConnectOptions> Manager::LeaderConnection(
    const clustermetadata::ReplicationPrimary& asked) const {
  pgsql::ConnectOptions leader;
  leader.host = asked.primary().host();
  leader.port = asked.primary().postgres_port();
  leader.user = config_.postgres.superuser;
  MG_ASSIGN_OR_RETURN(leader.password, config_.postgres.password());
  leader.database = config_.postgres.database;
  leader.application_name = "multipooler_divergence";
  return leader;
}

absl::StatusOr<bool> Manager::DivergedLocked(const pgsql::ConnectOptions& leader, const PostgresView& view,
                                             absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  // The highest timeline that this node is known to have been on; when it was on a higher one, the answer errs to the
  // safe side.
  MG_ASSIGN_OR_RETURN(pgsql::Result row,
                      connection->Execute("SELECT greatest((SELECT timeline_id FROM pg_control_checkpoint()), "
                                          "(SELECT min_recovery_end_timeline FROM pg_control_recovery()))",
                                          deadline));
  return HasDiverged(leader, static_cast<int>(row.Int(0, 0)), view.lsn,
                     std::min(deadline, absl::Now() + kAskLeaderLimit));
}

bool Manager::HasLeaderToFollow(const ManagerState& state) const {
  const clustermetadata::ReplicationPrimary& leader = state.replication_primary;
  return leader.has_primary() && leader.has_position() && leader.primary().postgres_port() != 0 &&
         !consensus::SameNode(leader.primary().id(), config_.id) &&
         !consensus::IsRevoked(RuleOf(leader.position()).rule_number(), promises_->Get());
}

// Of what no orch may ask for: the leader's rule may be waiting for just this node.
absl::Status Manager::FollowAgainLocked() {
  ManagerState state = Snapshot();
  if (!HasLeaderToFollow(state)) {
    return absl::OkStatus();
  }
  absl::Status status = FollowLocked(state.replication_primary, absl::Now() + config_.remote_operation_limit);
  // A leader that is away is the orchs' business.
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ? absl::OkStatus() : status;
}

// A standby that is not consistent yet answers nobody; what it lacks is known from its log, and asked of the leader.
absl::StatusOr<bool> Manager::CopyWhatIsLostLocked(const clustermetadata::ReplicationPrimary& asked,
                                                   absl::Time deadline) {
  std::string segment = Snapshot().missing_segment;
  if (segment.empty()) {
    return false;
  }
  MG_ASSIGN_OR_RETURN(pgsql::ConnectOptions leader, LeaderConnection(asked));
  MG_ASSIGN_OR_RETURN(bool lost, LacksSegment(leader, segment, std::min(deadline, absl::Now() + kAskLeaderLimit)));
  if (lost) {
    MG_RETURN_IF_ERROR(WithContext(RewindLocked(asked, /*try_rewind=*/false), "set primary"));
  }
  return lost;
}

// From here on the caller's deadline does not count: a half-rewound directory must be brought to an end.
absl::Status Manager::RewindLocked(const clustermetadata::ReplicationPrimary& asked, bool try_rewind) {
  const clustermetadata::PoolerAddress& primary = asked.primary();
  log::Warn(try_rewind ? "log has diverged: rewinding" : "the leader has no longer what is needed: a new base backup",
            {{"source", topology::IdString(primary.id())}});
  ManagerState state = Snapshot();
  if (state.view.has_value()) {
    MG_RETURN_IF_ERROR(BlockRecruitsBelow(*state.view));
  }
  DropControl();
  Connected(false, PgState::kStopped);
  MG_RETURN_IF_ERROR(pgctld_.Stop("fast", kStopLimit));
  MG_RETURN_IF_ERROR(WriteFileAtomically(RewindSentinel(config_), "", 0600));
  absl::Status rewound = absl::UnavailableError("the leader's log does not reach back to this node's");
  if (try_rewind) {
    rewound =
        pgctld_.PgRewind(primary.host(), primary.postgres_port(), topology::ClusterIdString(config_.id), kRewindLimit);
  }
  if (rewound.ok()) {
    rewound = PrepareStandby(config_, config_.data_directory, primary.host(), primary.postgres_port());
  }
  if (!rewound.ok()) {
    if (try_rewind) {
      log::Warn("pg_rewind failed: taking a new base backup", {{"error", rewound}});
    }
    MG_RETURN_IF_ERROR(
        TakeBaseBackup(config_, primary.host(), primary.postgres_port(), absl::Now() + kRewindLimit, stop_));
  }
  MG_RETURN_IF_ERROR(RemoveTree(RewindSentinel(config_)));
  MG_RETURN_IF_ERROR(StartFollowing(/*suspected_divergence=*/false, kStartLimit));
  Change([](ManagerState& s) {
    s.suspected_divergence = false;
    s.missing_segment.clear();
  });
  log::Info(rewound.ok() ? "rewound, follows" : "copied, follows", {{"primary", topology::IdString(primary.id())}});
  return absl::OkStatus();
}

}  // namespace mg::multipooler
