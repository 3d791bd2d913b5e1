#include "components/multiorch/coordinator.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::multiorch {
namespace {

using clustermetadata::ID;

constexpr absl::Duration kRecruitLimit = absl::Seconds(15);
constexpr absl::Duration kPromoteLimit = absl::Seconds(65);
constexpr absl::Duration kSetPrimaryLimit = absl::Seconds(15);
// After a sufficient number of recruits, how long to wait for the rest: one of them may be more advanced.
constexpr absl::Duration kRestOfRecruits = absl::Milliseconds(300);
// How long those that are asked first may take before the others of the cohort are asked too.
constexpr absl::Duration kReserve = absl::Milliseconds(300);
// When the leader leads, how long to wait for those that still have not answered.
constexpr absl::Duration kStragglers = absl::Milliseconds(500);
// Between two tries of a member that was out of reach.
constexpr auto kReachAgain = std::chrono::milliseconds(100);
// Between two tries of a follower that cannot follow yet: its log has to be compared with, or rewound to, that of a
// leader whose PostgreSQL is not writable yet.
constexpr auto kFollowAgain = std::chrono::milliseconds(100);
constexpr auto kCancelLook = std::chrono::milliseconds(50);

const PoolerView* Find(const ShardView& view, const ID& id) {
  for (const auto& [text, pooler] : view.poolers) {
    if (consensus::SameNode(pooler.id(), id)) {
      return &pooler;
    }
  }
  return nullptr;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  std::int64_t micros = absl::ToUnixMicros(time);  // what PostgreSQL can hold
  out->set_seconds(micros / 1000000);
  out->set_nanos(static_cast<int>(micros % 1000000) * 1000);
}

consensus::Cohort Ids(const std::vector<Recruited>& recruited) {
  consensus::Cohort ids;
  for (const Recruited& recruit : recruited) {
    ids.push_back(recruit.id);
  }
  return ids;
}

// Calls that have not ended yet.
class Pending {
 public:
  void Begin() {
    std::lock_guard lock(mutex_);
    ++count_;
  }
  void End() {
    std::lock_guard lock(mutex_);
    --count_;
    changed_.notify_all();
  }
  /// From now on nobody tries again.
  void NoMore() {
    std::lock_guard lock(mutex_);
    no_more_ = true;
    changed_.notify_all();
  }
  /// Before a next try; false: there is none.
  bool Again(std::chrono::milliseconds pause) {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, pause, [&] { return no_more_; });
  }
  void Wait(absl::Duration limit, const std::function<bool()>& cancelled) {
    absl::Time end = absl::Now() + limit;
    std::unique_lock lock(mutex_);
    while (count_ > 0 && absl::Now() < end && !cancelled()) {
      changed_.wait_for(lock, kCancelLook);
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
  bool no_more_ = false;
};

// The rules that may have made something durable: the outgoing one as planned, and whatever the recruits themselves
// show.
std::vector<const clustermetadata::ShardRule*> RulesToCover(const Action& action,
                                                            const std::vector<Recruited>& recruited) {
  if (action.wish.has_value() && action.wish->certificate.has_value()) {
    return {};
  }
  std::vector<const clustermetadata::ShardRule*> rules = {&action.outgoing};
  const clustermetadata::RulePosition* highest = nullptr;
  for (const Recruited& recruit : recruited) {
    const clustermetadata::RulePosition& position = recruit.status.current_position().position();
    if (highest == nullptr || consensus::Compare(position, *highest) > 0) {
      highest = &position;
    }
  }
  if (highest != nullptr) {
    rules.push_back(&highest->decision());
    if (highest->has_proposal()) {
      rules.push_back(&highest->proposal());
    }
  }
  return rules;
}

// The wished leader is recruited, and so many others that its rule can be written.
bool WishCanBegin(const RuleWish& wish, const std::vector<Recruited>& recruited) {
  clustermetadata::ShardRule rule;
  *rule.mutable_durability_policy() = wish.policy;
  for (const ID& id : wish.cohort) {
    *rule.add_cohort_members() = id;
  }
  consensus::Cohort ids = Ids(recruited);
  return consensus::Contains(ids, wish.leader) && consensus::CheckRecruitmentQuorum(rule, ids).ok();
}

// On a tie whoever is wished for, then whoever is not drained, of those the former leader, whose log nobody has to
// compare, then a node of the former leader's cell, then the first by name.
const Recruited* MostAdvanced(const Action& action, const std::vector<Recruited>& recruited) {
  auto rank = [&](const ID& id) {
    return consensus::Contains(action.drained, id) && !consensus::SameNode(id, action.preferred) ? 4
           : !action.preferred.name().empty() && consensus::SameNode(id, action.preferred)       ? 0
           : consensus::SameNode(id, action.outgoing.leader_id())                                ? 1
           : id.cell() == action.outgoing.leader_id().cell()                                     ? 2
                                                                                                 : 3;
  };
  const Recruited* best = nullptr;
  for (const Recruited& recruit : recruited) {
    int order =
        best == nullptr ? 1 : consensus::Compare(recruit.status.current_position(), best->status.current_position());
    bool first = order == 0 && std::make_pair(rank(recruit.id), topology::IdString(recruit.id)) <
                                   std::make_pair(rank(best->id), topology::IdString(best->id));
    if (order > 0 || first) {
      best = &recruit;
    }
  }
  return best;
}

// The wished leader, when it has everything that may have been acknowledged.
absl::StatusOr<const Recruited*> WishedLeader(const RuleWish& wish, const std::vector<Recruited>& recruited,
                                              const Recruited& most_advanced) {
  auto leader = std::find_if(recruited.begin(), recruited.end(),
                             [&](const Recruited& recruit) { return consensus::SameNode(recruit.id, wish.leader); });
  if (leader == recruited.end() || !WishCanBegin(wish, recruited)) {
    return absl::FailedPreconditionError(
        leader == recruited.end() ? "the wished leader was not recruited"
                                  : "not enough members of the wished cohort were recruited for its durability policy");
  }
  const clustermetadata::PoolerPosition& position = leader->status.current_position();
  if (!wish.certificate.has_value()) {
    if (consensus::Compare(position, most_advanced.status.current_position()) < 0) {
      return absl::FailedPreconditionError(absl::StrCat("the wished leader is at ", position.lsn(), ", behind ",
                                                        topology::IdString(most_advanced.id), " at ",
                                                        most_advanced.status.current_position().lsn()));
    }
    return &*leader;
  }
  clustermetadata::PoolerPosition frozen;
  *frozen.mutable_position()->mutable_decision()->mutable_rule_number() =
      wish.certificate->term_revocation().outgoing_rule();
  frozen.set_lsn(wish.certificate->frozen_lsn());
  clustermetadata::PoolerPosition held = position;
  *held.mutable_position()->mutable_decision()->mutable_rule_number() = consensus::HighestNumber(position.position());
  held.mutable_position()->clear_proposal();
  if (consensus::Compare(held, frozen) < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the wished leader is at rule ", consensus::ToString(consensus::HighestNumber(position.position())), ", ",
        position.lsn(), ": short of the certificate's rule ",
        consensus::ToString(wish.certificate->term_revocation().outgoing_rule()), ", ",
        wish.certificate->frozen_lsn()));
  }
  return &*leader;
}

// Asks members for their promises, each in a thread of its own, and counts the answers.
class Recruitment {
 public:
  using Clients = std::map<std::string, std::shared_ptr<PoolerClient>>;

  /// `shard` is for the log.
  Recruitment(std::string shard, const Action& action, const clustermetadata::TermRevocation& revocation,
              const Clients& clients, std::vector<std::thread>* threads, Pending* pending)
      : shard_(std::move(shard)), action_(action), clients_(clients), threads_(threads), pending_(pending) {
    *request_.mutable_term_revocation() = revocation;
  }

  /// Enough answers, or all, or the end of time. One member that never answers keeps nobody from being asked.
  std::vector<Recruited> Run(const std::function<bool()>& cancelled) {
    Ask(action_.recruits, &Shared::first, false);
    absl::Time ask_reserve = absl::Now() + kReserve;
    absl::Time enough_since = absl::InfiniteFuture();
    bool asked_all = false;
    std::unique_lock lock(shared_->mutex);
    while (!cancelled()) {
      bool enough = Enough();
      absl::Time now = absl::Now();
      enough_since = enough ? std::min(enough_since, now) : absl::InfiniteFuture();
      // Where the reserve was needed, whoever has not answered has had its moment.
      absl::Duration rest = asked_all ? absl::ZeroDuration() : kRestOfRecruits;
      if (enough && !action_.first_appointment && now >= enough_since + rest) {
        break;
      }
      if (!enough && !asked_all && (now >= ask_reserve || shared_->first == 0)) {
        asked_all = true;
        lock.unlock();
        Ask(action_.reserve, &Shared::second, false);
        Ask(action_.absent, &Shared::absent, true);
        lock.lock();
        continue;
      }
      if (shared_->first == 0 && (enough || shared_->second == 0)) {
        break;
      }
      shared_->answered.wait_for(lock, kCancelLook);
    }
    return shared_->recruited;
  }

 private:
  /// What the threads tell; they may outlive the recruitment.
  struct Shared {
    std::mutex mutex;
    std::condition_variable answered;
    std::vector<Recruited> recruited;
    // Calls that have not been answered: of those asked first, of the reserve, of those out of reach.
    int first = 0, second = 0, absent = 0;
  };

  bool Enough() const {
    bool enough = true;
    for (const clustermetadata::ShardRule* rule : RulesToCover(action_, shared_->recruited)) {
      enough &= consensus::CheckRecruitmentQuorum(*rule, Ids(shared_->recruited)).ok();
    }
    return enough && (!action_.wish.has_value() || WishCanBegin(*action_.wish, shared_->recruited));
  }

  void Ask(const std::vector<ID>& members, int Shared::*open, bool until_reached) {
    for (const ID& id : members) {
      auto client = clients_.find(topology::IdString(id));
      if (client == clients_.end()) {
        continue;  // its record names no address
      }
      pending_->Begin();
      {
        std::lock_guard lock(shared_->mutex);
        ++((*shared_).*open);
      }
      threads_->emplace_back([shared = shared_, client = client->second, request = request_, id, open, until_reached,
                              pending = pending_, shard = shard_] {
        absl::StatusOr<clustermetadata::ConsensusStatus> status = client->Recruit(request, kRecruitLimit);
        while (until_reached && absl::IsUnavailable(status.status()) && pending->Again(kReachAgain)) {
          status = client->Recruit(request, kRecruitLimit);
        }
        if (status.ok()) {
          log::Info("recruited",
                    {{"shard", shard}, {"pooler", topology::IdString(id)}, {"lsn", status->current_position().lsn()}});
        } else {
          log::Warn("not recruited", {{"pooler", topology::IdString(id)}, {"error", status.status()}});
        }
        std::lock_guard lock(shared->mutex);
        --((*shared).*open);
        if (status.ok()) {
          shared->recruited.push_back({id, *status});
        }
        shared->answered.notify_all();
        pending->End();
      });
    }
  }

  const std::string shard_;
  const Action& action_;
  const Clients& clients_;
  std::vector<std::thread>* const threads_;
  Pending* const pending_;
  consensusdata::RecruitRequest request_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace

clustermetadata::TermRevocation NewRevocation(const ShardView& view, const Action& action, absl::Time now) {
  if (action.wish.has_value() && action.wish->certificate.has_value()) {
    return action.wish->certificate->term_revocation();
  }
  std::int64_t term = action.outgoing.rule_number().coordinator_term();
  for (const auto& [text, pooler] : view.poolers) {
    term = std::max(term, pooler.status.consensus_status().term_revocation().revoked_below_term());
    term = std::max(term, consensus::HighestNumber(pooler.position().position()).coordinator_term());
  }
  clustermetadata::TermRevocation revocation;
  revocation.set_revoked_below_term(term + 1);
  *revocation.mutable_accepted_coordinator_id() = view.self;
  SetTime(now, revocation.mutable_coordinator_initiated_at());
  *revocation.mutable_outgoing_rule() = action.outgoing.rule_number();
  return revocation;
}

absl::StatusOr<Proposal> ChooseLeader(const Action& action, const clustermetadata::TermRevocation& revocation,
                                      const std::vector<Recruited>& recruited, absl::Time now) {
  if (recruited.empty()) {
    return absl::FailedPreconditionError("nobody was recruited");
  }
  for (const clustermetadata::ShardRule* rule : RulesToCover(action, recruited)) {
    MG_RETURN_IF_ERROR(consensus::CheckRecruitmentQuorum(*rule, Ids(recruited)));
  }
  const Recruited* best = MostAdvanced(action, recruited);
  if (action.wish.has_value()) {
    MG_ASSIGN_OR_RETURN(best, WishedLeader(*action.wish, recruited, *best));
  }
  const clustermetadata::RulePosition& position = best->status.current_position().position();
  Proposal proposal;
  proposal.leader = best->id;
  *proposal.transition.mutable_decision() = position.decision();
  clustermetadata::ShardRule* rule = proposal.transition.mutable_proposal();
  if (action.wish.has_value()) {
    *rule->mutable_durability_policy() = action.wish->policy;
    for (const ID& id : action.wish->cohort) {
      *rule->add_cohort_members() = id;
    }
  } else if (action.first_appointment) {
    *rule->mutable_durability_policy() = action.outgoing.durability_policy();
    consensus::Cohort cohort = Ids(recruited);
    std::sort(cohort.begin(), cohort.end(),
              [](const ID& a, const ID& b) { return topology::IdString(a) < topology::IdString(b); });
    for (const ID& id : cohort) {
      *rule->add_cohort_members() = id;
    }
  } else {
    // Where a first appointment was cut short, its rule may be known only to who is not recruited now; the recruits
    // have the founding rule, which names nobody. They are a quorum of the cut one, so it made nothing durable: its
    // cohort is appointed to again.
    const clustermetadata::ShardRule& own = position.has_proposal() ? position.proposal() : position.decision();
    const clustermetadata::ShardRule& last = own.cohort_members().empty() ? action.outgoing : own;
    *rule->mutable_durability_policy() = last.durability_policy();
    *rule->mutable_cohort_members() = last.cohort_members();
  }
  *rule->mutable_rule_number() = consensus::MakeRuleNumber(revocation.revoked_below_term(), 0);
  *rule->mutable_leader_id() = best->id;
  *rule->mutable_coordinator_id() = revocation.accepted_coordinator_id();
  SetTime(now, rule->mutable_creation_time());
  MG_RETURN_IF_ERROR(
      consensus::StandbyNames(rule->durability_policy(), consensus::CohortOf(*rule), rule->leader_id()).status());
  return proposal;
}

absl::StatusOr<clustermetadata::ShardRule> Appoint(const ShardView& view, const Action& action,
                                                   const rpc::Dialer& dialer, const std::function<bool()>& cancelled) {
  clustermetadata::TermRevocation revocation = NewRevocation(view, action, absl::Now());
  log::Info(
      "appointment begins",
      {{"shard", topology::ShardKeyString(view.shard)},
       {"why", action.why},
       {"term", revocation.revoked_below_term()},
       {"outgoing", consensus::ToString(action.outgoing.rule_number())},
       {"leader", action.outgoing.has_leader_id() ? topology::IdString(action.outgoing.leader_id()) : std::string()},
       {"recruits", action.recruits.size()}});
  std::map<std::string, std::shared_ptr<PoolerClient>> clients;
  for (const auto& [text, pooler] : view.poolers) {
    absl::StatusOr<std::string> address = topology::AddressOf(pooler.record, "grpc");
    if (address.ok()) {
      clients[topology::IdString(pooler.id())] = std::make_shared<PoolerClient>(*address, dialer);
    }
  }
  std::vector<std::thread> threads;
  Pending pending;
  auto end = [&](absl::Status status) {
    pending.NoMore();
    if (status.ok()) {
      pending.Wait(kStragglers, cancelled);
    }
    for (auto& [text, client] : clients) {
      client->Cancel();
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    return status;
  };
  std::vector<Recruited> recruited =
      Recruitment(topology::ShardKeyString(view.shard), action, revocation, clients, &threads, &pending).Run(cancelled);
  absl::StatusOr<Proposal> proposal = ChooseLeader(action, revocation, recruited, absl::Now());
  if (!proposal.ok()) {
    return end(proposal.status());
  }
  const PoolerView* leader = Find(view, proposal->leader);
  auto port = leader->record.port_map().find("postgres");
  if (port == leader->record.port_map().end()) {
    return end(absl::FailedPreconditionError("the chosen leader's record has no PostgreSQL port"));
  }
  consensusdata::PromoteRequest promote;
  promote.set_reason(action.why);
  consensusdata::CoordinatorProposal* proposed = promote.mutable_proposal();
  *proposed->mutable_term_revocation() = revocation;
  proposed->set_skip_outgoing_quorum(action.first_appointment ||
                                     (action.wish.has_value() && action.wish->certificate.has_value()));
  *proposed->mutable_proposed_transition() = proposal->transition;
  clustermetadata::PoolerAddress* address = proposed->mutable_proposal_leader();
  *address->mutable_id() = proposal->leader;
  address->set_host(leader->record.hostname());
  address->set_postgres_port(port->second);
  for (const Recruited& recruit : recruited) {
    *promote.add_accepted_node_ids() = recruit.id;
  }
  log::Info("promoting", {{"shard", topology::ShardKeyString(view.shard)},
                          {"leader", topology::IdString(proposal->leader)},
                          {"rule", consensus::ToString(proposal->transition.proposal().rule_number())},
                          {"recruited", recruited.size()}});
  // Its rule write waits for standbys that only SetPrimary points to it: so both go out at once.
  consensusdata::SetPrimaryRequest follow;
  *follow.mutable_replication_primary()->mutable_position() = proposal->transition;
  *follow.mutable_replication_primary()->mutable_primary() = *address;
  for (const auto& [text, client] : clients) {
    if (text == topology::IdString(proposal->leader)) {
      continue;
    }
    pending.Begin();
    threads.emplace_back([client = client, follow, text = text, &pending] {
      absl::Status status;
      std::string told;
      do {
        status = client->SetPrimary(follow, kSetPrimaryLimit).status();
        if (!status.ok() && status.message() != told) {
          told = std::string(status.message());
          log::Warn("set primary failed", {{"pooler", text}, {"error", status}});
        }
      } while (absl::IsUnavailable(status) && pending.Again(kFollowAgain));
      pending.End();
    });
  }
  absl::Status promoted = clients.at(topology::IdString(proposal->leader))->Promote(promote, kPromoteLimit).status();
  if (promoted.ok()) {
    log::Info("appointed", {{"leader", topology::IdString(proposal->leader)},
                            {"rule", consensus::ToString(proposal->transition.proposal().rule_number())}});
  }
  MG_RETURN_IF_ERROR(end(WithContext(promoted, "promote")));
  return proposal->transition.proposal();
}

}  // namespace mg::multiorch
