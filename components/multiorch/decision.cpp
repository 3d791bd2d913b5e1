#include "components/multiorch/decision.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/rpc/proto_time.h"
#include "common/topology/topology.h"

namespace mg::multiorch {
namespace {

namespace data = multipoolermanagerdata;
using clustermetadata::ID;
using consensus::Compare;
using consensus::SameNode;

// An appointment waits this long for the last members.
constexpr absl::Duration kMemberWait = absl::Milliseconds(300);
constexpr absl::Duration kRankStep = absl::Milliseconds(200);
// Another coordinator that has recruited is given this long to bring it to an end, and longer when it says that it is
// still at it.
constexpr absl::Duration kOthersTurn = absl::Seconds(1);
// The first time PostgreSQL starts anew in it, on a machine that has much else to do, and no client waits yet.
constexpr absl::Duration kOthersFirstTurn = absl::Seconds(5);
// The first appointment waits this long for claimed poolers that are still copying.
constexpr absl::Duration kFoundingWait = absl::Seconds(20);
constexpr absl::Duration kPoolersWait = absl::Seconds(5);
constexpr absl::Duration kClaimTakeover = absl::Seconds(10);
constexpr absl::Duration kSetPrimaryPeriod = absl::Seconds(1);
// A drained node that had to lead hands over when another one has been able to lead for so long; the orchs of lower
// rank try first.
constexpr absl::Duration kDrainedLeads = absl::Seconds(2);
constexpr absl::Duration kDrainedLeadsRank = absl::Seconds(5);
constexpr absl::Duration kFollowerMargin = absl::Seconds(2);
// A leader's pooler writes a heartbeat every second; two that are missing are not chance.
constexpr absl::Duration kHeartbeatLimit = absl::Seconds(2);
// A leader that has lost its cohort so soon after its appointment is left time to find it.
constexpr absl::Duration kSettled = absl::Seconds(10);
// What the other orchs have said of a silent leader is asked again after this.
constexpr absl::Duration kSightHolds = absl::Milliseconds(300);

const PoolerView* Find(const ShardView& view, const ID& id) {
  for (const auto& [text, pooler] : view.poolers) {
    if (SameNode(pooler.id(), id)) {
      return &pooler;
    }
  }
  return nullptr;
}

bool Ready(const PoolerView& pooler) { return pooler.connected && pooler.status.status().postgres_ready(); }

// What a pooler said longer ago is nothing to build on: its stream may stand over a network that is cut.
bool Heard(const ShardView& view, const PoolerView& pooler, absl::Time now) {
  return pooler.connected && now - pooler.last_seen <= view.stale_after;
}

bool Drained(const PoolerView& pooler) { return pooler.status.status().pooler_type() == clustermetadata::DRAINED; }

bool Eligible(const PoolerView& pooler) {
  return pooler.status.availability_status().cohort_eligibility_status().signal() !=
         clustermetadata::COHORT_ELIGIBILITY_SIGNAL_INELIGIBLE;
}

bool Recruitable(const PoolerView& pooler) {
  return Ready(pooler) && Eligible(pooler) && pooler.status.status().is_initialized();
}

// Its Recruit waits for the start; meanwhile the seed can restart.
bool StartsItsCopy(const PoolerView& pooler) {
  return pooler.connected && Eligible(pooler) && pooler.status.status().has_data_directory() &&
         pooler.status.status().postgres_action() == data::POSTGRES_ACTION_STARTING;
}

void Mark(absl::Time* since, bool holds, absl::Time now) {
  *since = holds ? std::min(*since, now) : absl::InfiniteFuture();
}

Action Wait(std::string why, absl::Time until = absl::InfiniteFuture()) {
  Action action;
  action.why = std::move(why);
  action.wake_at = until;
  return action;
}

clustermetadata::ShardInitClaim MakeClaim(const std::vector<const PoolerView*>& members) {
  clustermetadata::ShardInitClaim claim;
  *claim.mutable_claimer_id() = members.front()->id();
  for (const PoolerView* member : members) {
    *claim.add_cohort_members() = member->id();
  }
  return claim;
}

// Nobody has data: choose a seed, or see to it that the chosen one goes on.
Action DecideFounding(ShardView* view, absl::Time now) {
  const clustermetadata::DurabilityPolicy& policy = view->database->bootstrap_durability_policy();
  if (!consensus::ValidatePolicy(policy).ok()) {
    return Wait("the database has no bootstrap durability policy");
  }
  std::vector<const PoolerView*> empty;  // connected, in order of their ids
  std::size_t cells_missing = 0;
  for (const auto& [text, pooler] : view->poolers) {
    bool has_promised = pooler.status.consensus_status().term_revocation().revoked_below_term() > 0;
    if (pooler.connected && !has_promised) {
      empty.push_back(&pooler);
    }
  }
  for (const std::string& cell : view->database->cells()) {
    cells_missing +=
        std::none_of(empty.begin(), empty.end(), [&](const PoolerView* p) { return p->id().cell() == cell; });
  }
  Mark(&view->since_poolers, !empty.empty(), now);
  bool enough = static_cast<int>(empty.size()) >= policy.required_count() && !empty.empty();
  // Data without a rule: its PostgreSQL has not been up yet, or it is being made.
  bool data_somewhere = std::any_of(view->poolers.begin(), view->poolers.end(), [](const auto& entry) {
    return entry.second.connected &&
           (entry.second.status.status().has_data_directory() ||
            entry.second.status.consensus_status().term_revocation().revoked_below_term() > 0);
  });
  if (data_somewhere) {
    view->since_claim_stuck = absl::InfiniteFuture();
    return Wait("a pooler has data, and its PostgreSQL is not up yet");
  }
  if (!view->claim.has_claimer_id()) {
    if (enough && (cells_missing == 0 || now >= view->since_poolers + kPoolersWait)) {
      Action action;
      action.kind = ActionKind::kClaim;
      action.why = "nobody has data";
      action.claim = MakeClaim(empty);
      return action;
    }
    return Wait(absl::StrCat("waiting for the poolers of ", cells_missing, " cells"),
                enough ? view->since_poolers + kPoolersWait : absl::InfiniteFuture());
  }
  // The seed asks every claimed member before it begins; so each of them counts.
  bool stuck = false;
  for (const ID& member : view->claim.cohort_members()) {
    const PoolerView* pooler = Find(*view, member);
    stuck |= pooler == nullptr || !pooler->connected;
  }
  Mark(&view->since_claim_stuck, stuck, now);
  if (stuck && enough && now >= view->since_claim_stuck + kClaimTakeover) {
    Action action;
    action.kind = ActionKind::kReplaceClaim;
    action.why = "a claimed pooler has been away, and nobody has data";
    const PoolerView* seed = Find(*view, view->claim.claimer_id());
    auto present = std::find(empty.begin(), empty.end(), seed);
    if (present != empty.end()) {
      std::rotate(empty.begin(), present, present + 1);
    }
    action.claim = MakeClaim(empty);
    return action;
  }
  return Wait("the seed founds the shard", stuck ? view->since_claim_stuck + kClaimTakeover : absl::InfiniteFuture());
}

bool Decided(const ShardView& view, const clustermetadata::ShardRule& rule) {
  return std::any_of(view.poolers.begin(), view.poolers.end(), [&](const auto& entry) {
    return Compare(consensus::DecisionNumber(entry.second.position()), rule.rule_number()) >= 0;
  });
}

struct OthersTurn {
  absl::Time until = absl::InfinitePast();
  ID coordinator;         ///< of the highest term
  std::int64_t term = 0;  ///< 0: nobody else has begun
};

// Somebody else may be at it: a promise to another coordinator that no rule has fulfilled yet, or a rule of its that is
// not decided yet.
OthersTurn TurnOfOthers(const ShardView& view, const clustermetadata::ShardRule& rule) {
  std::int64_t highest_term = rule.rule_number().coordinator_term();
  const absl::Duration turn = highest_term == 0 ? kOthersFirstTurn : kOthersTurn;
  OthersTurn others{.until = view.others_until};
  if (highest_term > 0 && !SameNode(rule.coordinator_id(), view.self) && !Decided(view, rule)) {
    others.until = std::max(others.until, absl::FromUnixSeconds(rule.creation_time().seconds()) +
                                              absl::Nanoseconds(rule.creation_time().nanos()) + turn);
    others.coordinator = rule.coordinator_id();
    others.term = highest_term;
  }
  for (const auto& [text, pooler] : view.poolers) {
    const auto& promise = pooler.status.consensus_status().term_revocation();
    if (promise.revoked_below_term() > highest_term && !SameNode(promise.accepted_coordinator_id(), view.self)) {
      absl::Time begun = absl::FromUnixSeconds(promise.coordinator_initiated_at().seconds()) +
                         absl::Nanoseconds(promise.coordinator_initiated_at().nanos());
      others.until = std::max(others.until, begun + turn);
      if (promise.revoked_below_term() > others.term) {
        others.coordinator = promise.accepted_coordinator_id();
        others.term = promise.revoked_below_term();
      }
    }
  }
  return others;
}

// When the orch of rank 0 may begin: at once when all members are there, else after a last wait for them. The others
// count from the same moment, so that normally one acts.
absl::Time AppointmentTime(ShardView* view, const clustermetadata::RuleNumber& rule, bool quorum, bool all,
                           absl::Time now) {
  if (Compare(view->since_rule, rule) != 0) {
    view->since_rule = rule;
    view->since_quorum = view->since_all = absl::InfiniteFuture();
  }
  Mark(&view->since_quorum, quorum, now);
  Mark(&view->since_all, all, now);
  return all ? view->since_all : view->since_quorum + kMemberWait;
}

// The leader of the rule has handed over: it is on its way to be a standby, and not to be waited for.
bool HasResigned(const PoolerView& pooler, const clustermetadata::ShardRule& rule) {
  const auto& leadership = pooler.status.availability_status().leadership_status();
  return SameNode(pooler.id(), rule.leader_id()) &&
         leadership.signal() == clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION &&
         leadership.leader_term() == rule.rule_number().coordinator_term();
}

Action Appoint(const ShardView& view, const clustermetadata::ShardRule& outgoing, absl::Time not_before, absl::Time now,
               const std::string& why, bool ask_resigned = true) {
  OthersTurn others = TurnOfOthers(view, outgoing);
  absl::Time at = std::max(not_before + view.rank * kRankStep, others.until);
  if (now < at) {
    return Wait(absl::StrCat(why, ": it is not this orch's turn yet"), at);
  }
  Action action;
  action.kind = ActionKind::kAppoint;
  action.why = why;
  action.outgoing = outgoing;
  action.other_coordinator = others.coordinator;
  action.other_term = others.term;
  if (now < view.preferred_until) {
    action.preferred = view.preferred;
  }
  for (const auto& [text, pooler] : view.poolers) {
    if (Drained(pooler)) {
      action.drained.push_back(pooler.id());
    }
  }
  for (const ID& member : outgoing.cohort_members()) {
    const PoolerView* pooler = Find(view, member);
    if (pooler != nullptr) {
      bool in_reserve = !ask_resigned && HasResigned(*pooler, outgoing);
      (!pooler->connected ? action.absent : in_reserve ? action.reserve : action.recruits).push_back(member);
    }
  }
  return action;
}

// {0,1} is written and copied; nobody leads yet.
Action DecideFirstAppointment(ShardView* view, const clustermetadata::ShardRule& founding, absl::Time now) {
  Mark(&view->since_founded, true, now);
  clustermetadata::ShardRule outgoing = founding;
  *outgoing.mutable_durability_policy() = view->database->bootstrap_durability_policy();
  *outgoing.mutable_cohort_members() = view->claim.cohort_members();
  consensus::Cohort there;
  for (const ID& member : outgoing.cohort_members()) {
    const PoolerView* pooler = Find(*view, member);
    if (pooler != nullptr && (Recruitable(*pooler) || StartsItsCopy(*pooler))) {
      there.push_back(member);
    }
  }
  bool all = static_cast<int>(there.size()) == outgoing.cohort_members_size();
  bool late = now >= view->since_founded + kFoundingWait;
  absl::Status quorum = consensus::CheckRecruitmentQuorum(outgoing, there);
  if (there.empty() || !quorum.ok() || (!all && !late)) {
    AppointmentTime(view, founding.rule_number(), false, false, now);
    return Wait(absl::StrCat(there.size(), " of ", outgoing.cohort_members_size(), " claimed poolers are initialised"),
                quorum.ok() ? view->since_founded + kFoundingWait : absl::InfiniteFuture());
  }
  Action action = Appoint(*view, outgoing, AppointmentTime(view, founding.rule_number(), true, all || late, now), now,
                          "first appointment");
  action.first_appointment = true;
  return action;
}

// A recruitment that its coordinator did not bring to an end, while the old leader lives: whoever promised then can
// never follow the old rule again.
constexpr absl::Duration kAbandoned = absl::Seconds(5);
absl::Time AbandonedAt(const ShardView& view, const clustermetadata::ShardRule& rule) {
  absl::Time at = absl::InfiniteFuture();
  for (const ID& member : rule.cohort_members()) {
    const PoolerView* pooler = Find(view, member);
    if (pooler == nullptr || !pooler->connected || !Eligible(*pooler)) {
      continue;  // (One without PostgreSQL counts: it may be waiting for a leader that it can copy from.)
    }
    const auto& promise = pooler->status.consensus_status().term_revocation();
    if (promise.revoked_below_term() > rule.rule_number().coordinator_term()) {
      at = std::min(at, absl::FromUnixSeconds(promise.coordinator_initiated_at().seconds()) + kAbandoned);
    }
  }
  return at;
}

Action DecideAppointment(ShardView* view, const clustermetadata::ShardRule& rule, absl::Time now) {
  consensus::Cohort there, others, heard;
  bool resigned = false;
  for (const ID& member : rule.cohort_members()) {
    const PoolerView* pooler = Find(*view, member);
    bool has_resigned = pooler != nullptr && pooler->connected && HasResigned(*pooler, rule);
    resigned |= has_resigned;
    if (pooler != nullptr && Recruitable(*pooler)) {
      there.push_back(member);
      if (!has_resigned) {
        others.push_back(member);
      }
      if (Heard(*view, *pooler, now)) {
        heard.push_back(member);
      }
    }
  }
  // Whoever has resigned is needed only where the others are no quorum, or do not answer.
  bool without = resigned && consensus::CheckRecruitmentQuorum(rule, others).ok();
  if (without) {
    there = others;
  }
  if (absl::Status quorum = consensus::CheckRecruitmentQuorum(rule, there); !quorum.ok()) {
    AppointmentTime(view, rule.rule_number(), false, false, now);
    return Wait(absl::StrCat("no leader is alive, and none can be appointed: ", std::string(quorum.message())));
  }
  // A recruitment that cannot come to its end does harm: whoever promised follows the old leader no more.
  if (absl::Status quorum = consensus::CheckRecruitmentQuorum(rule, heard); !quorum.ok()) {
    AppointmentTime(view, rule.rule_number(), false, false, now);
    return Wait(absl::StrCat("no leader is heard, and too few others are: ", std::string(quorum.message())));
  }
  bool all = static_cast<int>(there.size()) == rule.cohort_members_size() - (without ? 1 : 0);
  return Appoint(*view, rule, AppointmentTime(view, rule.rule_number(), true, all, now), now,
                 absl::StrCat(resigned ? "the leader has handed over rule " : "no leader is alive under rule ",
                              consensus::ToString(rule.rule_number())),
                 !without);
}

// Who is told the right thing and does not stream is told again: it may find that its log has gone another way.
bool FollowsRightly(const PoolerView& pooler, const clustermetadata::ReplicationPrimary& leader) {
  const auto& following = pooler.status.consensus_status().replication_primary();
  const auto& conninfo = pooler.status.status().replication_status().primary_conn_info();
  return pooler.status.status().postgres_status() == data::POSTGRES_STATUS_STANDBY &&
         Compare(consensus::HighestNumber(following.position()), consensus::HighestNumber(leader.position())) >= 0 &&
         conninfo.host() == leader.primary().host() && conninfo.port() == leader.primary().postgres_port() &&
         pooler.status.status().replication_status().wal_receiver_status() == "streaming";
}

// Of the last one that had been replayed when the follower looked.
absl::Duration HeartbeatAge(const PoolerView& follower) {
  const auto& lag = follower.status.status().replication_status().lag();
  return rpc::ToDuration(lag);
}

Action DecideMaintenance(ShardView* view, const clustermetadata::ShardRule& rule, absl::Time now) {
  AppointmentTime(view, rule.rule_number(), false, false, now);
  view->since_founded = absl::InfiniteFuture();
  Action action;
  const PoolerView* leader = Find(*view, rule.leader_id());
  // Told to others only when it is decided: during a promotion its coordinator tells them.
  if (leader == nullptr || !leader->status.status().primary_status().ready() ||
      leader->position().position().has_proposal()) {
    return Wait("the leader is becoming one");
  }
  *action.leader.mutable_position()->mutable_decision() = leader->position().position().decision();
  *action.leader.mutable_primary()->mutable_id() = leader->id();
  action.leader.mutable_primary()->set_host(leader->record.hostname());
  auto port = leader->record.port_map().find("postgres");
  if (port == leader->record.port_map().end()) {
    return Wait("the leader's record has no PostgreSQL port");
  }
  action.leader.mutable_primary()->set_postgres_port(port->second);
  action.leader.set_rewind_ready(leader->status.consensus_status().replication_primary().rewind_ready());
  consensus::Cohort cohort = consensus::CohortOf(rule);
  bool other_can_lead = false;
  for (const auto& [text, pooler] : view->poolers) {
    if (SameNode(pooler.id(), leader->id()) || !Ready(pooler)) {
      continue;
    }
    other_can_lead |= !Drained(pooler) && Recruitable(pooler) && consensus::Contains(cohort, pooler.id()) &&
                      FollowsRightly(pooler, action.leader);
    if (!FollowsRightly(pooler, action.leader)) {
      absl::Time at = pooler.last_set_primary + kSetPrimaryPeriod;
      if (pooler.set_primary_running) {
        continue;  // its end is an event
      }
      if (now >= at) {
        action.set_primary.push_back(text);
      } else {
        action.wake_at = std::min(action.wake_at, at);
      }
    } else if (Eligible(pooler) && !consensus::Contains(cohort, pooler.id())) {
      action.add_members.push_back(pooler.id());
    }
  }
  Mark(&view->since_drained_leads, Drained(*leader) && other_can_lead, now);
  absl::Time hand_over_at = view->since_drained_leads + kDrainedLeads + view->rank * kDrainedLeadsRank;
  if (now >= hand_over_at) {
    action.hand_over = true;
    view->since_drained_leads = now;  // the next try, if this one fails, comes later
    action.kind = ActionKind::kMaintain;
    action.why = "a drained node leads, and another one can";
    return action;
  }
  action.wake_at = std::min(action.wake_at, hand_over_at);
  if (!action.set_primary.empty() || !action.add_members.empty()) {
    action.kind = ActionKind::kMaintain;
    action.why = "followers are out of date";
  }
  return action;
}

bool SightHolds(const ShardView& view, const PoolerView& pooler, absl::Time now) {
  return SameNode(view.sight.pooler, pooler.id()) && now - view.sight.at < kSightHolds;
}

absl::Time SettledAt(const clustermetadata::ShardRule& rule) { return rpc::ToTime(rule.creation_time()) + kSettled; }

// The leader's pooler has been silent for too long, though its stream stands.
const PoolerView* SilentLeader(const ShardView& view, const clustermetadata::ShardRule& rule, absl::Time now) {
  const PoolerView* leader = Find(view, rule.leader_id());
  return leader != nullptr && leader->connected && !Heard(view, *leader, now) ? leader : nullptr;
}

Action DecideByLeader(ShardView* view, const clustermetadata::ShardRule& rule, absl::Time now) {
  if (!LeaderIsAlive(*view, rule, now)) {
    return DecideAppointment(view, rule, now);
  }
  absl::Time abandoned = AbandonedAt(*view, rule);
  if (now >= abandoned) {
    Action action = DecideAppointment(view, rule, now);
    action.why = absl::StrCat("a recruitment was abandoned: ", action.why);
    return action;
  }
  Action action = DecideMaintenance(view, rule, now);
  action.wake_at = std::min(action.wake_at, abandoned);
  if (const PoolerView* leader = Find(*view, rule.leader_id()); leader != nullptr && leader->connected) {
    // So that its silence is noticed when it is due, and not at the next event.
    absl::Time due = leader->last_seen + view->stale_after;
    action.wake_at = std::min(action.wake_at, now > due ? now + kSightHolds : due + absl::Milliseconds(1));
    if (absl::Time settled = SettledAt(rule); HasResigned(*leader, rule) && now < settled) {
      action.wake_at = std::min(action.wake_at, settled);
    }
  }
  return action;
}

}  // namespace

const clustermetadata::ShardRule* HighestRule(const ShardView& view) {
  const clustermetadata::ShardRule* highest = nullptr;
  for (const auto& [text, pooler] : view.poolers) {
    const clustermetadata::RulePosition& position = pooler.position().position();
    for (const clustermetadata::ShardRule* rule : {&position.decision(), &position.proposal()}) {
      if (!consensus::IsNone(rule->rule_number()) &&
          (highest == nullptr || Compare(rule->rule_number(), highest->rule_number()) > 0)) {
        highest = rule;
      }
    }
  }
  return highest;
}

namespace {

// It has lost its cohort, as it says itself, and this orch hears enough of the others to do without it. Not soon after
// the last change: where nodes are merely slow, the next leader would be no better.
bool IsCutOff(const ShardView& view, const PoolerView& leader, const clustermetadata::ShardRule& rule, absl::Time now) {
  if (!HasResigned(leader, rule) || now < SettledAt(rule)) {
    return false;
  }
  consensus::Cohort others;
  for (const ID& member : rule.cohort_members()) {
    const PoolerView* pooler = Find(view, member);
    if (pooler != nullptr && pooler != &leader && Recruitable(*pooler) && Heard(view, *pooler, now)) {
      others.push_back(member);
    }
  }
  return consensus::CheckRecruitmentQuorum(rule, others).ok();
}

}  // namespace

bool LeaderIsAlive(const ShardView& view, const clustermetadata::ShardRule& rule, absl::Time now) {
  const PoolerView* leader = Find(view, rule.leader_id());
  if (leader != nullptr && Heard(view, *leader, now)) {
    if (!leader->status.status().postgres_ready()) {
      return false;
    }
    const auto& promise = leader->status.consensus_status().term_revocation();
    auto state = leader->status.status().postgres_status();
    bool writable = state == data::POSTGRES_STATUS_PRIMARY || state == data::POSTGRES_STATUS_PROMOTING;
    bool revoked = rule.rule_number().coordinator_term() < promise.revoked_below_term();
    return writable && !revoked && !IsCutOff(view, *leader, rule, now);
  }
  // Its pooler is frozen, or only this orch does not hear it: another orch knows. (One that has lost its stream may be
  // about to be back, so the others' silence says less then.)
  if (leader != nullptr && leader->connected && SightHolds(view, *leader, now) && view.sight.answered > 0) {
    return view.sight.heard;
  }
  // Its pooler is out of reach of this orch. Whoever still streams heartbeats from it proves that pooler and PostgreSQL
  // live, and that it is this orch's network which is bad. PostgreSQL alone is not enough: clients reach it by its
  // pooler. (An idle primary may be silent for half of its time-out. Clocks that disagree make this judge wrongly,
  // which costs a failover that is not needed, or one that waits for the pooler's restart; never a write.)
  for (const auto& [text, pooler] : view.poolers) {
    const auto& replication = pooler.status.status().replication_status();
    const auto& following = pooler.status.consensus_status().replication_primary().primary().id();
    absl::Time heard = absl::FromUnixSeconds(replication.last_msg_receive_time().seconds());
    if (Ready(pooler) && replication.wal_receiver_status() == "streaming" && SameNode(following, rule.leader_id()) &&
        now - heard < absl::Seconds(replication.wal_receiver_timeout().seconds()) + kFollowerMargin &&
        (!replication.has_lag() || HeartbeatAge(pooler) <= kHeartbeatLimit)) {
      return true;
    }
  }
  return false;
}

Action Decide(ShardView* view, absl::Time now) {
  if (!view->database.has_value()) {
    return Wait("the database's record is not known yet");
  }
  const clustermetadata::ShardRule* highest = HighestRule(*view);
  if (highest == nullptr) {
    return DecideFounding(view, now);
  }
  clustermetadata::ShardRule rule = *highest;
  if (rule.rule_number().coordinator_term() == 0) {
    if (!view->claim.has_claimer_id()) {
      return Wait("a pooler is initialised, and there is no claim that says with whom");
    }
    // A promotion under way shows itself by a promise only.
    return DecideFirstAppointment(view, rule, now);
  }
  Action action = DecideByLeader(view, rule, now);
  if (const PoolerView* leader = SilentLeader(*view, rule, now);
      leader != nullptr && !SightHolds(*view, *leader, now)) {
    action.ask_about = leader->id();
  }
  return action;
}

}  // namespace mg::multiorch
