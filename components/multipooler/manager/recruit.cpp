#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/consensus/revocation.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kFastRestartLimit = absl::Seconds(10);

clustermetadata::PoolerPosition PositionOf(const PostgresView& view) {
  clustermetadata::PoolerPosition position;
  *position.mutable_position() = view.rule;
  position.set_lsn(view.lsn);
  return position;
}

}  // namespace

absl::StatusOr<clustermetadata::ConsensusStatus> Manager::Recruit(const consensusdata::RecruitRequest& request,
                                                                  absl::Time deadline) {
  if (!request.has_term_revocation()) {
    return absl::InvalidArgumentError("recruit: no term revocation");
  }
  const clustermetadata::TermRevocation& revocation = request.term_revocation();
  std::int64_t writing = writing_term_;
  if (writing != 0 && revocation.revoked_below_term() > writing) {
    // A rule write of a lower term may wait for standbys that have promised the higher one: it cannot end by itself.
    std::lock_guard lock(control_mutex_);
    if (control_ != nullptr) {
      control_->Interrupt();
    }
  }
  if (Snapshot().connected) {
    copy_cancelled_ = true;
  }
  ++recruits_waiting_;
  absl::StatusOr<Action> action = Begin(deadline);
  --recruits_waiting_;
  MG_RETURN_IF_ERROR(action.status());
  if (Snapshot().manually_stopped) {
    return absl::FailedPreconditionError("recruit: replication on this pooler was stopped by hand");
  }
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  if (!view.has_rule) {
    return absl::FailedPreconditionError("recruit: this pooler has no rule yet");
  }
  MG_RETURN_IF_ERROR(
      WithContext(consensus::CheckRevocation(revocation, PositionOf(view), promises_->Get()), "recruit"));
  log::Info(
      "recruited: letting go of the old rule",
      {{"term", revocation.revoked_below_term()}, {"rule", consensus::ToString(consensus::HighestNumber(view.rule))}});
  std::string old_conninfo = view.primary_conninfo;
  if (!view.in_recovery) {
    MG_RETURN_IF_ERROR(DemoteLocked(deadline));
    old_conninfo.clear();
  }
  absl::Status recruited = RecruitStandbyLocked(revocation, deadline);
  if (!recruited.ok()) {
    if (!old_conninfo.empty()) {
      absl::StatusOr<ConnectionPtr> again = Control(absl::Now() + absl::Seconds(2));
      absl::Status restored =
          again.ok() ? ApplySettings(**again, {{"primary_conninfo", old_conninfo}}, absl::Now() + absl::Seconds(2))
                     : again.status();
      if (!restored.ok()) {
        log::Warn("could not restore primary_conninfo", {{"error", restored}});
      }
    }
    return WithContext(recruited, "recruit");
  }
  PublishState();
  clustermetadata::ConsensusStatus status = BuildConsensusStatus(config_, Snapshot(), promises_->Get());
  log::Info("promised", {{"term", revocation.revoked_below_term()}, {"lsn", status.current_position().lsn()}});
  return status;
}

// Cuts the stream, replays what has come, then promises.
absl::Status Manager::RecruitStandbyLocked(const clustermetadata::TermRevocation& revocation, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_RETURN_IF_ERROR(ApplySettings(*connection, {{"primary_conninfo", ""}}, deadline));
  MG_RETURN_IF_ERROR(WaitForReplay(*connection, deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  clustermetadata::ConsensusPromises promises = promises_->Get();
  MG_RETURN_IF_ERROR(consensus::CheckRevocation(revocation, PositionOf(view), promises));
  *promises.mutable_term_revocation() = revocation;
  promises.clear_recruit_blocked_until();  // CheckRevocation has seen that it is passed
  return promises_->Put(promises);
}

// Serving ends before PostgreSQL does: observers of the state have returned when Change has.
absl::Status Manager::DemoteLocked(absl::Time deadline) {
  Change([&](ManagerState& state) {
    state.leading = false;
    state.promoting = false;
    if (state.view.has_value() && state.view->has_rule &&
        consensus::SameNode(state.view->rule.decision().leader_id(), config_.id)) {
      state.suspected_divergence = true;
      clustermetadata::LeadershipStatus leadership;
      leadership.set_leader_term(state.view->rule.decision().rule_number().coordinator_term());
      leadership.set_signal(clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION);
      state.leadership = leadership;
    }
  });
  log::Info("demotion: PostgreSQL restarts as a standby");
  {
    std::lock_guard lock(checkpoint_mutex_);
    if (checkpoint_connection_ != nullptr) {
      checkpoint_connection_->Interrupt();
    }
  }
  DropControl();
  absl::Status restarted = pgctld_.RestartAsStandby("fast", std::min(kFastRestartLimit, deadline - absl::Now()));
  if (!restarted.ok()) {
    log::Warn("fast restart failed", {{"error", restarted}});
    restarted = pgctld_.RestartAsStandby("immediate", std::max(deadline - absl::Now(), kFastRestartLimit));
  }
  MG_RETURN_IF_ERROR(restarted);
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  if (!view.in_recovery) {
    return absl::InternalError("PostgreSQL was restarted as a standby and is still writable");
  }
  return absl::OkStatus();
}

}  // namespace mg::multipooler
