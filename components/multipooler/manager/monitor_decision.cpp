#include "components/multipooler/manager/monitor_decision.h"

#include "common/consensus/position.h"

namespace mg::multipooler {
namespace {

// Half-made data is of no use: the seed begins again, and who is no longer the seed takes a copy.
MonitorAction ResumeBootstrap(const Observation& seen) {
  if (seen.claimed_as_seed) {
    return MonitorAction::kBootstrap;
  }
  return seen.has_source ? MonitorAction::kClone : MonitorAction::kNothing;
}

MonitorAction DecideForPrimary(const Observation& seen) {
  if (!seen.has_rule) {
    return seen.bootstrap_unfinished ? ResumeBootstrap(seen) : MonitorAction::kNothing;
  }
  const clustermetadata::RuleNumber& highest = consensus::HighestNumber(seen.rule);
  const clustermetadata::ShardRule& rule = seen.rule.has_proposal() ? seen.rule.proposal() : seen.rule.decision();
  bool revoked = highest.coordinator_term() < seen.promised_term;
  if (revoked || seen.newer_leader_elsewhere) {
    return MonitorAction::kDemote;
  }
  if (seen.leading) {
    return MonitorAction::kNothing;
  }
  if (highest.coordinator_term() == 0) {
    // The seed, before the first appointment: the others copy from it.
    return seen.bootstrap_unfinished ? ResumeBootstrap(seen) : MonitorAction::kNothing;
  }
  return consensus::SameNode(rule.leader_id(), seen.self) && !seen.in_place_overdue ? MonitorAction::kResume
                                                                                    : MonitorAction::kDemote;
}

// A failover needs others that are as advanced, and enough of them; where there are none, nothing is faster than to go
// on in place, and to be confirmed by the first that comes back.
// Who has promised a higher term has said how far it was then, and takes no more under this one.
bool GoesOnInPlace(const Observation& seen) {
  return seen.irreplaceable && seen.died_leading.coordinator_term() > 0 &&
         seen.promised_term <= seen.died_leading.coordinator_term();
}

}  // namespace

MonitorAction DecideMonitorAction(const Observation& seen) {
  const bool replace = seen.unusable && seen.leader_elsewhere && seen.restarts_enabled;
  if (seen.connected && !seen.in_recovery) {
    return DecideForPrimary(seen);
  }
  if (seen.connected) {
    return replace ? MonitorAction::kReplace : seen.stalled ? MonitorAction::kFollow : MonitorAction::kNothing;
  }
  switch (seen.postgres) {
    case PgState::kUnreachable:
      return MonitorAction::kNothing;
    case PgState::kRunning:
      return replace ? MonitorAction::kReplace : MonitorAction::kNothing;
    case PgState::kStopped:
      if (seen.put_back_unfinished) {
        return MonitorAction::kPutBack;
      }
      if (seen.bootstrap_unfinished) {
        return ResumeBootstrap(seen);
      }
      if (seen.rewind_unfinished) {
        return seen.has_source ? MonitorAction::kClone : MonitorAction::kNothing;
      }
      if (!seen.restarts_enabled) {
        return MonitorAction::kNothing;
      }
      if (replace) {
        return MonitorAction::kReplace;
      }
      return GoesOnInPlace(seen) ? MonitorAction::kRestart : MonitorAction::kStart;
    case PgState::kNotInitialized:
      if (seen.put_back_unfinished) {
        return MonitorAction::kPutBack;
      }
      // A node that has promised something has had data: it must not found the shard again.
      if (seen.claimed_as_seed && seen.promised_term == 0) {
        return MonitorAction::kBootstrap;
      }
      if (seen.restore_waits) {
        return MonitorAction::kAwaitRestore;
      }
      return seen.has_source ? MonitorAction::kClone : MonitorAction::kNothing;
  }
  return MonitorAction::kNothing;
}

std::string ToString(MonitorAction action) {
  switch (action) {
    case MonitorAction::kNothing:
      return "nothing";
    case MonitorAction::kBootstrap:
      return "bootstrap";
    case MonitorAction::kClone:
      return "clone";
    case MonitorAction::kStart:
      return "start";
    case MonitorAction::kRestart:
      return "restart";
    case MonitorAction::kResume:
      return "resume";
    case MonitorAction::kDemote:
      return "demote";
    case MonitorAction::kReplace:
      return "replace";
    case MonitorAction::kAwaitRestore:
      return "await restore";
    case MonitorAction::kPutBack:
      return "put back";
    case MonitorAction::kFollow:
      return "follow";
  }
  return "unknown";
}

}  // namespace mg::multipooler
