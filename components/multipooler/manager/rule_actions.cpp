#include <poll.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/consensus/revocation.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multipooler/manager/left_segments.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

void SetToNow(google::protobuf::Timestamp* time) {
  std::int64_t now = absl::ToUnixMicros(absl::Now());
  time->set_seconds(now / 1000000);
  time->set_nanos(static_cast<int>(now % 1000000) * 1000);
}

constexpr int kPromotePauseMs = 2;
// For standbys to come back to a leader that was away, before another try.
constexpr absl::Duration kResumeLimit = absl::Seconds(5);

absl::Status CheckPromoteRequest(const consensusdata::PromoteRequest& request, const Config& config) {
  if (!request.has_proposal() || !request.proposal().has_term_revocation()) {
    return absl::InvalidArgumentError("promote: no proposal, or no term revocation in it");
  }
  const consensusdata::CoordinatorProposal& proposal = request.proposal();
  if (!proposal.proposal_leader().has_id() || proposal.proposal_leader().postgres_port() == 0) {
    return absl::InvalidArgumentError("promote: the proposal's leader has no id or no port");
  }
  if (!consensus::SameNode(proposal.proposal_leader().id(), config.id)) {
    return absl::InvalidArgumentError("promote: this pooler is not the proposal's leader");
  }
  const clustermetadata::ShardRule& rule = proposal.proposed_transition().proposal();
  if (!proposal.proposed_transition().has_proposal() || consensus::IsNone(rule.rule_number())) {
    return absl::InvalidArgumentError("promote: no proposed rule");
  }
  if (rule.coordinator_id().name().empty() || !rule.has_creation_time()) {
    return absl::InvalidArgumentError("promote: the proposed rule has no coordinator or no time");
  }
  if (!consensus::SameNode(rule.leader_id(), config.id) || rule.cohort_members().empty()) {
    return absl::InvalidArgumentError("promote: the proposed rule has another leader, or no cohort");
  }
  return consensus::ValidatePolicy(rule.durability_policy());
}

}  // namespace

absl::StatusOr<clustermetadata::ConsensusStatus> Manager::Promote(const consensusdata::PromoteRequest& request,
                                                                  absl::Time deadline) {
  MG_RETURN_IF_ERROR(CheckPromoteRequest(request, config_));
  const consensusdata::CoordinatorProposal& proposal = request.proposal();
  const clustermetadata::TermRevocation& revocation = proposal.term_revocation();
  const clustermetadata::ShardRule& rule = proposal.proposed_transition().proposal();
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  clustermetadata::ConsensusPromises promises = promises_->Get();
  if (!consensus::SameRevocation(promises.term_revocation(), revocation)) {
    return absl::FailedPreconditionError(absl::StrCat("promote: this pooler has promised term ",
                                                      promises.term_revocation().revoked_below_term(),
                                                      " and not the proposal's: it must Recruit before Promote"));
  }
  if (rule.rule_number().coordinator_term() != revocation.revoked_below_term()) {
    return absl::FailedPreconditionError("promote: the rule's term is not the recruited one");
  }
  clustermetadata::PoolerPosition position;
  *position.mutable_position() = view.rule;
  position.set_lsn(view.lsn);
  MG_RETURN_IF_ERROR(WithContext(consensus::CheckRevocation(revocation, position, promises), "promote"));
  if (!view.in_recovery) {
    return absl::FailedPreconditionError("promote: PostgreSQL is not in recovery");
  }
  if (!view.primary_conninfo.empty()) {
    return absl::FailedPreconditionError("promote: primary_conninfo is not empty");
  }
  MG_ASSIGN_OR_RETURN(std::string names,
                      consensus::StandbyNames(rule.durability_policy(), consensus::CohortOf(rule), config_.id));
  log::Info("promotion begins", {{"rule", consensus::ToString(rule.rule_number())}, {"lsn", view.lsn}});
  Change([&](ManagerState& state) {
    state.promoting = true;
    state.manually_stopped = false;
    *state.replication_primary.mutable_position() = proposal.proposed_transition();
    *state.replication_primary.mutable_primary() = proposal.proposal_leader();
    state.replication_primary.set_rewind_ready(false);
  });
  // The standbys' names come first, so that PostgreSQL acknowledges nothing by itself from its first write on.
  absl::Status status = [&]() -> absl::Status {
    MG_RETURN_IF_ERROR(
        ApplySettings(*connection, {{"synchronous_standby_names", names}, {"synchronous_commit", "on"}}, deadline));
    MG_RETURN_IF_ERROR(connection->Execute("SELECT pg_promote(false)", deadline).status());
    while (true) {
      MG_ASSIGN_OR_RETURN(pgsql::Result row, connection->Execute("SELECT pg_is_in_recovery()", deadline));
      if (!row.Bool(0, 0)) {
        break;
      }
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError("PostgreSQL did not leave recovery in time");
      }
      poll(nullptr, 0, kPromotePauseMs);
    }
    if (absl::Status kept = KeepLeftSegments(config_.data_directory, config_.run_as); !kept.ok()) {
      log::Warn("standbys of earlier timelines may have to be copied anew", {{"error", kept}});
    }
    log::Info("PostgreSQL is writable, the rule is not yet");
    RuleEvent event{.type = "promotion", .operation = "", .reason = request.reason(), .accepted_members = {}};
    event.outgoing_is_lost = proposal.skip_outgoing_quorum();
    for (const clustermetadata::ID& id : request.accepted_node_ids()) {
      event.accepted_members.push_back(topology::ClusterIdString(id));
    }
    return WriteRuleLocked(*connection, view.rule, rule, event);
  }();
  if (!status.ok()) {
    Change([](ManagerState& state) { state.promoting = false; });
    return WithContext(status, "promote");
  }
  BecomeLeader(rule);
  log::Info("leader", {{"rule", consensus::ToString(rule.rule_number())}});
  return ConsensusStatusNow(absl::Now() + config_.remote_operation_limit);
}

// The two-phase write. `position` is what was read before.
absl::Status Manager::WriteRuleLocked(pgsql::Connection& connection, const clustermetadata::RulePosition& position,
                                      const clustermetadata::ShardRule& rule, const RuleEvent& event) {
  writing_term_ = rule.rule_number().coordinator_term();
  absl::Status status = [&]() -> absl::Status {
    absl::Time limit = absl::Now() + config_.rule_write_limit;
    clustermetadata::ShardRule from = position.decision();
    if (position.has_proposal()) {
      // Somebody else's unfinished rule may have been seen as durable: it is finished as it stands, never dropped.
      MG_RETURN_IF_ERROR(
          DurablyDecide(connection, event.outgoing_is_lost ? position.proposal() : from, position.proposal()));
      from = position.proposal();
    }
    bool by_leader = from.rule_number().coordinator_term() == rule.rule_number().coordinator_term();
    // The new rule must be durable by the outgoing one's policy too, or members that the new cohort leaves out could be
    // recruited later as a quorum that has never heard of it.
    const clustermetadata::ShardRule& other = event.outgoing_is_lost ? rule : from;
    if (by_leader) {
      MG_ASSIGN_OR_RETURN(std::string interim, consensus::InterimStandbyNames(from, rule));
      MG_RETURN_IF_ERROR(ApplySettings(connection, {{"synchronous_standby_names", interim}}, limit));
    }
    MG_RETURN_IF_ERROR(WaitForCheckpointer(connection, limit));
    absl::Status proposed =
        ProposeRule(connection, from.rule_number(), rule, event, absl::Now() + config_.rule_write_limit);
    MG_RETURN_IF_ERROR(ConfirmDurable(connection, other, rule, proposed));
    MG_RETURN_IF_ERROR(DurablyDecide(connection, other, rule));
    MG_ASSIGN_OR_RETURN(std::string names,
                        consensus::StandbyNames(rule.durability_policy(), consensus::CohortOf(rule), config_.id));
    MG_RETURN_IF_ERROR(ApplySettings(connection, {{"synchronous_standby_names", names}}, limit));
    return by_leader ? WaitForCheckpointer(connection, limit) : absl::OkStatus();
  }();
  writing_term_ = 0;
  return status;
}

absl::Status Manager::DurablyDecide(pgsql::Connection& connection, const clustermetadata::ShardRule& from,
                                    const clustermetadata::ShardRule& rule) {
  return ConfirmDurable(connection, from, rule,
                        DecideRule(connection, rule.rule_number(), absl::Now() + config_.rule_write_limit));
}

// PostgreSQL answers success, with a warning, when a synchronous wait was cut short. So what counts is not its answer
// but the standbys' own positions, for the rule before and the one after.
absl::Status Manager::ConfirmDurable(pgsql::Connection& connection, const clustermetadata::ShardRule& from,
                                     const clustermetadata::ShardRule& rule, const absl::Status& written) {
  if (!written.ok() && !absl::IsDataLoss(written)) {
    return written;
  }
  absl::Time limit = absl::Now() + config_.rule_write_limit;
  MG_ASSIGN_OR_RETURN(pgsql::Result row, connection.Execute("SELECT pg_current_wal_lsn()::text", limit));
  for (const clustermetadata::ShardRule* each : {&from, &rule}) {
    if (each->cohort_members().empty()) {
      continue;
    }
    absl::Status acknowledged = WaitForAcknowledgement(connection, *each, config_.id, row.Text(0, 0), limit);
    if (!acknowledged.ok()) {
      return written.ok() ? acknowledged : written;
    }
  }
  return absl::OkStatus();
}

void Manager::BecomeLeader(const clustermetadata::ShardRule& rule) {
  Change([&](ManagerState& state) {
    ++epoch_;
    state.promoting = false;  // in the same step, so that nobody sees a node that is neither
    state.leading = true;
    state.quorum_lost = false;
    state.crashed = false;
    state.leading_rule = rule.rule_number();
    state.suspected_divergence = false;
    if (state.view.has_value()) {
      state.view->in_recovery = false;
      *state.view->rule.mutable_decision() = rule;
      state.view->rule.clear_proposal();
    }
    clustermetadata::LeadershipStatus leadership;
    leadership.set_leader_term(rule.rule_number().coordinator_term());
    leadership.set_signal(clustermetadata::LEADERSHIP_SIGNAL_ACTIVE);
    state.leadership = leadership;
    state.replication_primary.mutable_position()->Clear();
    *state.replication_primary.mutable_position()->mutable_decision() = rule;
    clustermetadata::PoolerAddress* primary = state.replication_primary.mutable_primary();
    *primary->mutable_id() = config_.id;
    primary->set_host(config_.hostname);
    primary->set_postgres_port(config_.postgres.port);
  });
  CheckpointInBackground();
}

// A peer may be rewound from this node only after a checkpoint on the new timeline. Also under the action lock.
void Manager::CheckpointInBackground() {
  if (checkpoint_.joinable()) {
    {
      std::lock_guard lock(checkpoint_mutex_);
      if (checkpoint_connection_ != nullptr) {
        checkpoint_connection_->Interrupt();
      }
    }
    checkpoint_.join();
  }
  checkpoint_ = std::thread([this] {
    absl::StatusOr<ConnectionPtr> connection = Connect(absl::Now() + config_.remote_operation_limit);
    if (connection.ok()) {
      {
        std::lock_guard lock(checkpoint_mutex_);
        checkpoint_connection_ = *connection;
      }
      absl::Status done = stop_ ? absl::CancelledError("stopping")
                                : (*connection)->Execute("CHECKPOINT", absl::InfiniteFuture()).status();
      if (!done.ok()) {
        log::Warn("checkpoint after the promotion did not end", {{"error", done}});
      }
      std::lock_guard lock(checkpoint_mutex_);
      checkpoint_connection_ = nullptr;
    }
    Poke();
  });
}

// PostgreSQL went on while the pooler was away and leads under its own rule. A rule that was being written is finished.
// What became visible meanwhile without its standbys, since a wait was cut short or PostgreSQL crashed and came back by
// itself, must be durable before clients come in.
absl::Status Manager::Resume() {
  absl::Time deadline = absl::Now() + config_.rule_write_limit;
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  clustermetadata::ShardRule rule = view.rule.decision();
  if (view.rule.has_proposal()) {
    const clustermetadata::ShardRule& from = view.rule.decision();
    rule = view.rule.proposal();
    bool by_leader = from.rule_number().coordinator_term() == rule.rule_number().coordinator_term();
    MG_ASSIGN_OR_RETURN(std::string interim,
                        by_leader
                            ? consensus::InterimStandbyNames(from, rule)
                            : consensus::StandbyNames(rule.durability_policy(), consensus::CohortOf(rule), config_.id));
    MG_RETURN_IF_ERROR(
        ApplySettings(*connection, {{"synchronous_standby_names", interim}, {"synchronous_commit", "on"}}, deadline));
    MG_RETURN_IF_ERROR(WaitForCheckpointer(*connection, deadline));
    writing_term_ = rule.rule_number().coordinator_term();
    absl::Status decided = DurablyDecide(*connection, from, rule);
    writing_term_ = 0;
    MG_RETURN_IF_ERROR(decided);
  }
  MG_ASSIGN_OR_RETURN(std::string names,
                      consensus::StandbyNames(rule.durability_policy(), consensus::CohortOf(rule), config_.id));
  MG_RETURN_IF_ERROR(
      ApplySettings(*connection, {{"synchronous_standby_names", names}, {"synchronous_commit", "on"}}, deadline));
  MG_RETURN_IF_ERROR(WaitForCheckpointer(*connection, deadline));
  writing_term_ = rule.rule_number().coordinator_term();
  absl::Status durable = AwaitDurable(*connection, absl::Now() + kResumeLimit, [this] { return !stop_; });
  writing_term_ = 0;
  MG_RETURN_IF_ERROR(WithContext(durable, "lead on"));
  if (Snapshot().crashed) {
    MG_RETURN_IF_ERROR(WithContext(AdvanceLocked(*connection, &rule, "PostgreSQL crashed and came back"), "lead on"));
  }
  log::Info("leads on, under its own rule", {{"rule", consensus::ToString(rule.rule_number())}});
  BecomeLeader(rule);
  return LookNow(*connection, deadline).status();
}

// The same rule under the next number: whoever confirms it has all that was written before.
absl::Status Manager::AdvanceLocked(pgsql::Connection& connection, clustermetadata::ShardRule* rule,
                                    const std::string& reason) {
  MG_ASSIGN_OR_RETURN(clustermetadata::RulePosition position, ReadRule(connection, absl::Now() + kResumeLimit));
  const clustermetadata::RuleNumber& number = rule->rule_number();
  *rule->mutable_rule_number() = consensus::MakeRuleNumber(number.coordinator_term(), number.leader_subterm() + 1);
  SetToNow(rule->mutable_creation_time());
  return WriteRuleLocked(
      connection, position, *rule,
      {.type = "replication_config", .operation = "ADVANCE", .reason = reason, .accepted_members = {}});
}

absl::StatusOr<clustermetadata::PoolerPosition> Manager::UpdateConsensusRule(
    const multipoolermanagerdata::UpdateConsensusRuleRequest& request, absl::Time deadline) {
  namespace data = multipoolermanagerdata;
  bool advance = request.operation() == data::RULE_OPERATION_ADVANCE;
  if (request.operation() == data::RULE_OPERATION_UNSPECIFIED || !data::RuleOperation_IsValid(request.operation())) {
    return absl::InvalidArgumentError("update rule: no operation");
  }
  if (!request.has_expected_outgoing_rule()) {
    return absl::InvalidArgumentError("update rule: no expected outgoing rule");
  }
  if (!advance && request.standby_ids().empty()) {
    return absl::InvalidArgumentError("update rule: no standbys named");
  }
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_ASSIGN_OR_RETURN(PostgresView view, LookNow(*connection, deadline));
  MG_RETURN_IF_ERROR(WithContext(CheckOwnRule(view), "update rule"));
  const clustermetadata::ShardRule& from = view.rule.decision();
  clustermetadata::ShardRule to = from;
  for (const clustermetadata::ID& id : request.standby_ids()) {
    consensus::Cohort cohort = consensus::CohortOf(to);
    bool member = consensus::Contains(cohort, id);
    if (request.operation() == data::RULE_OPERATION_COHORT_ADD && !member) {
      *to.add_cohort_members() = id;
    } else if (request.operation() == data::RULE_OPERATION_COHORT_REMOVE && member) {
      to.clear_cohort_members();
      for (const clustermetadata::ID& kept : cohort) {
        if (!consensus::SameNode(kept, id)) {
          *to.add_cohort_members() = kept;
        }
      }
    }
  }
  if (to.cohort_members().empty()) {
    return absl::InvalidArgumentError("update rule: nobody would be left in the cohort");
  }
  clustermetadata::PoolerPosition position;
  if (!advance && to.cohort_members_size() == from.cohort_members_size()) {
    *position.mutable_position() = view.rule;
    position.set_lsn(view.lsn);
    return position;
  }
  if (consensus::Compare(from.rule_number(), request.expected_outgoing_rule()) != 0) {
    return absl::UnknownError(absl::StrCat("rule conflict: the rule is ", consensus::ToString(from.rule_number()),
                                           " and not ", consensus::ToString(request.expected_outgoing_rule())));
  }
  MG_RETURN_IF_ERROR(WithContext(consensus::CheckTransition(from, to), "update rule"));
  if (request.has_coordinator_id()) {
    *to.mutable_coordinator_id() = request.coordinator_id();
  }
  std::string operation = data::RuleOperation_Name(request.operation()).substr(sizeof("RULE_OPERATION_") - 1);
  absl::Status written = WriteOwnRuleLocked(
      *connection, view, to,
      {.type = "replication_config", .operation = operation, .reason = operation, .accepted_members = {}}, deadline);
  if (absl::IsAborted(written)) {
    return absl::UnknownError(std::string(written.message()));
  }
  MG_RETURN_IF_ERROR(WithContext(written, "update rule"));
  std::optional<PostgresView> after = Snapshot().view;
  *position.mutable_position() = after->rule;
  position.set_lsn(after->lsn);
  return position;
}

// This node leads, under a rule that it may change by itself.
absl::Status Manager::CheckOwnRule(const PostgresView& view) const {
  if (view.in_recovery || !Snapshot().leading) {
    return absl::FailedPreconditionError("this pooler does not lead");
  }
  const clustermetadata::ShardRule& rule = view.rule.decision();
  if (consensus::IsRevoked(rule.rule_number(), promises_->Get())) {
    return absl::FailedPreconditionError("this pooler's term is revoked");
  }
  if (view.rule.has_proposal()) {
    return absl::FailedPreconditionError("an undecided proposal is present");
  }
  if (rule.cohort_members().empty()) {
    return absl::FailedPreconditionError("the cohort is empty");
  }
  return absl::OkStatus();
}

// `to` under the number after that of the rule in force.
absl::Status Manager::WriteOwnRuleLocked(pgsql::Connection& connection, const PostgresView& view,
                                         const clustermetadata::ShardRule& to, const RuleEvent& event,
                                         absl::Time deadline) {
  clustermetadata::ShardRule rule = to;
  const clustermetadata::RuleNumber& from = view.rule.decision().rule_number();
  *rule.mutable_rule_number() = consensus::MakeRuleNumber(from.coordinator_term(), from.leader_subterm() + 1);
  SetToNow(rule.mutable_creation_time());
  MG_RETURN_IF_ERROR(WriteRuleLocked(connection, view.rule, rule, event));
  log::Info("rule changed", {{"rule", consensus::ToString(rule.rule_number())}, {"operation", event.operation}});
  Change([&](ManagerState& state) {
    state.leading_rule = rule.rule_number();
    *state.replication_primary.mutable_position()->mutable_decision() = rule;
  });
  MG_RETURN_IF_ERROR(LookNow(connection, deadline).status());
  PublishState();
  return absl::OkStatus();
}

}  // namespace mg::multipooler
