#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/manager.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kPgctldLimit = absl::Seconds(1);
constexpr absl::Duration kLookLimit = absl::Seconds(5);
// How soon to look again at a PostgreSQL that runs and does not answer yet, or for a pgctld that does not.
constexpr absl::Duration kFirstLook = absl::Milliseconds(5);
constexpr absl::Duration kLongestLook = absl::Milliseconds(200);
// A standby that receives nothing for this long is looked into; a walreceiver that lost its leader tries again at once.
constexpr absl::Duration kStalled = absl::Seconds(5);
// After an action failed.
constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Seconds(5);

}  // namespace

void Manager::MonitorLoop() {
  absl::Duration look_again = kFirstLook;
  absl::Duration retry = kFirstRetry;
  absl::Time not_before = absl::InfinitePast();
  std::string last_error;
  while (!stop_) {
    Look();
    CheckQuorum();
    CheckStalled();
    PublishState();
    Beat();
    DropAside();
    Observation seen = Observe();
    MonitorAction action = DecideMonitorAction(seen);
    absl::Duration limit = std::min(config_.tick, config_.heartbeat_interval);
    if (seen.leading && QuorumWatch::Now() - quorum_.confirmed() > limit * 1.25) {
      limit /= 4;  // a confirmation is late
    }
    if (!seen.connected) {
      limit = std::min(limit, look_again);
      bool settled = seen.postgres == PgState::kStopped || seen.postgres == PgState::kNotInitialized;
      look_again = settled ? config_.tick : std::min(look_again * 2, kLongestLook);
    } else {
      look_again = kFirstLook;
    }
    if (action == MonitorAction::kNothing) {
      if (seen.connected) {
        retry = kFirstRetry;
        not_before = absl::InfinitePast();
      }
      WaitForEvent(limit);
      continue;
    }
    if (absl::Now() < not_before) {
      WaitForEvent(std::min(limit, not_before - absl::Now()));
      continue;
    }
    std::unique_lock<std::timed_mutex> lock(action_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
      postmaster_.LetGo();
      WaitForEvent(limit);  // the action's end wakes us
      continue;
    }
    Look();
    action = DecideMonitorAction(Observe());
    if (action == MonitorAction::kNothing || stop_) {
      continue;
    }
    if (action != MonitorAction::kAwaitRestore) {
      log::Info("monitor acts", {{"action", ToString(action)}});
    }
    postmaster_.LetGo();
    absl::Status status = Act(action);
    lock.unlock();
    if (status.ok() || stop_) {
      retry = kFirstRetry;
      not_before = absl::InfinitePast();
      look_again = kFirstLook;
      last_error.clear();
      continue;
    }
    log::Error("monitor's action failed", {{"action", ToString(action)}, {"error", status}});
    Change([&](ManagerState& state) { state.lifecycle_reason = std::string(status.message()); });
    not_before = absl::Now() + retry;
    retry = std::min(retry * 2, kLongestRetry);
  }
  watched_ = nullptr;
}

// Brings the state up to date: by SQL when PostgreSQL answers, else by asking pgctld.
void Manager::Look() {
  std::uint64_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = epoch_;
  }
  if (watched_ != nullptr && !watched_->CheckAlive()) {
    watched_ = nullptr;
    Connected(false, PgState::kUnreachable);  // known to everybody at once
  }
  if (watched_ == nullptr) {
    absl::Time deadline = absl::Now() + kLookLimit;
    absl::StatusOr<ConnectionPtr> connection = Connect(deadline);
    if (connection.ok()) {
      // Nothing that the monitor writes is worth a wait for standbys.
      absl::Status set = (*connection)->Execute("SET synchronous_commit = off", deadline).status();
      watched_ = set.ok() ? *connection : nullptr;
    } else {
      data_watch_.Asked(connection.status(), QuorumWatch::Now());
    }
  }
  if (watched_ != nullptr) {
    // A query of a kept connection that reads a row or two: who does not answer in this time is frozen, or as good as.
    absl::StatusOr<PostgresView> view = ReadView(*watched_, absl::Now() + config_.response_limit);
    postmaster_.Step(QuorumWatch::Now());
    if (view.ok() && postmaster_.frozen()) {
      view = absl::DeadlineExceededError("it takes no new connections, though its backends answer");
      DropControl();  // a backend's word counts for nothing now
    }
    if (view.ok()) {
      data_watch_.Asked(view.status(), QuorumWatch::Now());
      if (view->receiver_status == "streaming" && Exists(ReplaySentinel(config_))) {
        if (absl::Status removed = RemoveTree(ReplaySentinel(config_)); !removed.ok()) {
          log::Warn("could not note that the restored data streams", {{"error", removed}});
        }
      }
      LeaveOutReplayed(&*view);
      std::lock_guard lock(mutex_);
      bool streams = view->receiver_status == "streaming";
      if (streams && !std::exchange(streams_, streams)) {
        log::Info("streams from the primary", {{"lsn", view->lsn}});
      }
      streams_ = streams;
      state_.connected = true;
      state_.postgres = PgState::kRunning;
      if (epoch_ == epoch) {
        ComeAfter(state_.view, &*view);
        state_.view = *std::move(view);
        state_.initialized |= state_.view->has_rule && !Exists(BootstrapSentinel(config_));
        if (state_.view->in_recovery && state_.leading) {
          state_.leading = false;
          state_.suspected_divergence = true;
        }
      }
      return;
    }
    log::Warn("PostgreSQL does not answer", {{"error", view.status()}});
    data_watch_.Asked(view.status(), QuorumWatch::Now());
    watched_ = nullptr;
    Connected(false, PgState::kUnreachable);  // known to everybody before pgctld is asked
  }
  postmaster_.Reset();
  PgctldStatus status = pgctld_.Status(kPgctldLimit);
  Connected(false, status.state);
}

// The leader's heartbeat row, from which standbys tell their lag. Of no use for anything else.
void Manager::Beat() {
  absl::Time now = absl::Now();
  if (watched_ == nullptr || now < next_beat_ || !Snapshot().leading) {
    return;
  }
  next_beat_ = now + config_.heartbeat_interval;
  absl::Time begun = QuorumWatch::Now();
  absl::StatusOr<pgsql::Result> written = watched_->Query(
      "INSERT INTO multigres.heartbeat (shard_id, leader_id, ts) VALUES ('0'::bytea, $1, $2::bigint) "
      "ON CONFLICT (shard_id) DO UPDATE SET leader_id = excluded.leader_id, ts = excluded.ts "
      "RETURNING pg_current_wal_insert_lsn()::text",
      {topology::ClusterIdString(config_.id), absl::StrCat(absl::ToUnixNanos(now))}, now + config_.response_limit);
  absl::StatusOr<std::uint64_t> lsn = [&]() -> absl::StatusOr<std::uint64_t> {
    MG_RETURN_IF_ERROR(written.status());
    if (written->rows() != 1) {
      return absl::InternalError("no row came back");
    }
    return consensus::ParseLsn(written->Text(0, 0));
  }();
  if (!lsn.ok()) {
    log::Warn("could not write the heartbeat", {{"error", lsn.status()}});
    return;
  }
  quorum_.Wrote(begun, *lsn);
}

// The old data is of use until the new one has followed a leader.
void Manager::DropAside() {
  bool streams = false;
  {
    std::lock_guard lock(mutex_);
    streams = state_.connected && state_.view.has_value() && state_.view->receiver_status == "streaming";
  }
  if (!streams || !Exists(AsideDirectory(config_))) {
    return;
  }
  absl::Status removed = RemoveTree(AsideDirectory(config_));
  if (removed.ok()) {
    log::Info("the new data streams: the old one, kept aside, is removed");
  } else {
    log::Warn("the old data, kept aside, could not be removed", {{"error", removed}});
  }
}

// A leader that was cut off from its cohort, or frozen, cannot know whether another leads by now.
void Manager::CheckQuorum() {
  absl::Time now = QuorumWatch::Now();
  bool changed = false;
  bool lost = false;
  {
    std::lock_guard lock(mutex_);
    if (state_.leading && state_.connected && state_.view.has_value()) {
      quorum_.Lead(state_.leading_rule, now);
      quorum_.Saw(*state_.view, now);
      lost = now - quorum_.confirmed() > config_.stale_read_limit * 0.9;
    }
    changed = std::exchange(state_.quorum_lost, lost) != lost;
  }
  if (changed && lost) {
    log::Warn("no quorum confirms this leader's log: reads end too",
              {{"limit", absl::FormatDuration(config_.stale_read_limit)}});
  } else if (changed) {
    log::Info("a quorum confirms this leader's log again, or it leads no more");
  }
}

void Manager::CheckStalled() {
  ManagerState state = Snapshot();
  bool receives = !state.connected || !state.view.has_value() || !state.view->in_recovery || state.manually_stopped ||
                  state.view->receiver_status == "streaming" || !HasLeaderToFollow(state);
  stalled_since_ = receives ? absl::InfiniteFuture() : std::min(stalled_since_, QuorumWatch::Now());
  bool streams = state.connected && state.view.has_value() && state.view->receiver_status == "streaming";
  if (streams) {
    data_watch_.Streams();
  } else {
    data_watch_.Followed(receives, state.view.has_value() ? state.view->lsn : "", QuorumWatch::Now());
  }
}

void Manager::Connected(bool connected, PgState state) {
  bool lost = false;
  {
    std::lock_guard lock(mutex_);
    lost = state_.connected && !connected;
    state_.connected = connected;
    if (state != PgState::kUnreachable || !lost) {
      state_.postgres = state;
    }
    if (!connected && state_.leading) {
      state_.leading = false;
      // What it wrote last may be on no standby.
      state_.suspected_divergence = !state_.handing_over;
      if (!state_.handing_over) {
        state_.died_leading = state_.leading_rule;
        state_.crashed = true;
      }
    }
  }
  if (lost) {
    log::Warn("connection to PostgreSQL lost");
    PublishState();
  }
}

Observation Manager::Observe() const {
  ManagerState state = Snapshot();
  Observation seen;
  seen.stalled = QuorumWatch::Now() - stalled_since_ > kStalled;
  seen.postgres = state.postgres;
  seen.connected = state.connected && state.view.has_value();
  if (seen.connected) {
    seen.in_recovery = state.view->in_recovery;
    seen.has_rule = state.view->has_rule;
    seen.rule = state.view->rule;
  }
  seen.leading = state.leading;
  seen.died_leading = state.died_leading;
  if (state.view.has_value() && state.view->has_rule) {
    const clustermetadata::ShardRule& rule = state.view->rule.decision();
    // Who streamed when it was last looked at; without a recruitment quorum of those nobody can be appointed.
    seen.irreplaceable = !state.view->rule.has_proposal() && consensus::SameNode(rule.leader_id(), config_.id) &&
                         consensus::Compare(rule.rule_number(), state.died_leading) == 0 &&
                         (consensus::Satisfies(rule.durability_policy(), {config_.id}) ||
                          !consensus::CheckRecruitmentQuorum(rule, PresentMembers(*state.view, config_.id)).ok());
  }
  seen.in_place_overdue = QuorumWatch::Now() > in_place_until_;
  clustermetadata::TermRevocation promise = promises_->Get().term_revocation();
  // The seed of a restored shard has promised, to nobody, that terms of before are not used again: it goes on to wait.
  bool founding = seen.has_rule && consensus::HighestNumber(seen.rule).coordinator_term() == 0 &&
                  promise.accepted_coordinator_id().name().empty();
  seen.promised_term = founding ? 0 : promise.revoked_below_term();
  seen.bootstrap_unfinished = Exists(BootstrapSentinel(config_));
  seen.rewind_unfinished = Exists(RewindSentinel(config_));
  seen.restarts_enabled = state.restarts_enabled;
  seen.claimed_as_seed = state.claim.has_claimer_id() && consensus::SameNode(state.claim.claimer_id(), config_.id);
  seen.has_source = CloneSource(config_, state).has_value();
  seen.unusable = !data_watch_.WhyUnusable(QuorumWatch::Now()).empty();
  seen.leader_elsewhere = seen.unusable && LeaderElsewhere(state).has_value();
  seen.self = config_.id;
  if (!seen.connected && seen.postgres != PgState::kRunning) {
    if (auto order = ReadRestoreOrder(config_); order.ok() && order->has_value() && (*order)->set_aside()) {
      seen.put_back_unfinished = MustPutBack(**order);
      seen.restore_waits = !seen.put_back_unfinished && !(*order)->standby() && !(*order)->restore_id().empty();
    }
  }
  if (seen.connected && !seen.in_recovery && seen.has_rule) {
    const clustermetadata::RuleNumber& own = consensus::HighestNumber(seen.rule);
    for (const clustermetadata::Multipooler& pooler : state.poolers) {
      seen.newer_leader_elsewhere |= !consensus::SameNode(pooler.id(), config_.id) &&
                                     pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
                                     consensus::Compare(pooler.routing_state().rule(), own) > 0;
    }
  }
  return seen;
}

absl::Status Manager::Act(MonitorAction action) {
  switch (action) {
    case MonitorAction::kNothing:
      return absl::OkStatus();
    case MonitorAction::kBootstrap:
      return Bootstrap();
    case MonitorAction::kClone:
      return Clone();
    case MonitorAction::kStart:
      return StartStandby();
    case MonitorAction::kRestart:
      return RestartInPlace();
    case MonitorAction::kResume: {
      absl::Status resumed = Resume();
      in_place_until_ = resumed.ok() ? absl::InfiniteFuture() : in_place_until_;
      return resumed;
    }
    case MonitorAction::kDemote:
      in_place_until_ = absl::InfiniteFuture();
      return DemoteLocked(absl::Now() + config_.remote_operation_limit);
    case MonitorAction::kReplace:
      return ReplaceData();
    case MonitorAction::kAwaitRestore:
      return AwaitRestore();
    case MonitorAction::kPutBack:
      return FinishPutBack();
    case MonitorAction::kFollow:
      stalled_since_ = absl::InfiniteFuture();  // counted anew
      return FollowAgainLocked();
  }
  return absl::OkStatus();
}

// Ends at once when something happens: a change in the topology, the end of an action, the end of PostgreSQL.
void Manager::WaitForEvent(absl::Duration limit) {
  absl::Time end = QuorumWatch::Now() + limit;
  while (true) {
    std::array<pollfd, 3> fds = {pollfd{wake_.get(), POLLIN, 0},
                                 pollfd{watched_ != nullptr ? watched_->fd() : -1, POLLIN | POLLRDHUP, 0},
                                 pollfd{postmaster_.fd(), POLLIN, 0}};
    absl::Duration wait = end - QuorumWatch::Now();
    wait = postmaster_.trying() ? std::min(wait, postmaster_.pause()) : wait;
    int timeout = static_cast<int>(std::max<std::int64_t>(absl::ToInt64Milliseconds(wait), 1));
    if (poll(fds.data(), fds.size(), timeout) > 0 && fds[0].revents != 0) {
      std::uint64_t count = 0;
      (void)!read(wake_.get(), &count, sizeof count);
    }
    absl::Time now = QuorumWatch::Now();
    if (postmaster_.trying()) {
      postmaster_.Step(now);  // its answer alone is no reason to look at everything again
    }
    if (fds[0].revents != 0 || fds[1].revents != 0 || postmaster_.frozen() || now >= end) {
      return;
    }
  }
}

}  // namespace mg::multipooler
