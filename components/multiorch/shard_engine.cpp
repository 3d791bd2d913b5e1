#include "components/multiorch/shard_engine.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multiorch/bookkeeping.h"
#include "components/multiorch/coordinator.h"

namespace mg::multiorch {
namespace {

constexpr absl::Duration kTopologyLimit = absl::Seconds(2);
constexpr absl::Duration kSetPrimaryLimit = absl::Seconds(60);  // a rewind may be in it
constexpr absl::Duration kResignLimit = absl::Seconds(30);
constexpr absl::Duration kRuleChangeLimit = absl::Seconds(30);
constexpr absl::Duration kLeastStale = absl::Milliseconds(1250);
// Beyond that a stream's connection counts as cut.
constexpr absl::Duration kLeastSilence = absl::Seconds(3);
// The other orchs' answers are worth so long a wait.
constexpr absl::Duration kSightLimit = absl::Milliseconds(200);
constexpr absl::Duration kAtWorkLimit = absl::Milliseconds(500);
// Another coordinator that is at work is asked again after this, and believed for so long in all.
constexpr absl::Duration kAskAgain = absl::Milliseconds(500);
constexpr absl::Duration kLongestAppointment = absl::Seconds(30);
constexpr absl::Duration kTopologyAgain = absl::Seconds(30);
constexpr absl::Duration kBookkeeping = absl::Minutes(1);
constexpr absl::Duration kTopologyRetry = absl::Milliseconds(100);
// Two orchs that have failed because of each other must not meet again.
constexpr int kMaxBackOffMs = 300;
constexpr int kMinBackOffMs = 50;

// The orchs of the database's own cells come first, by name. Each rank costs a wait, so there are no more than these
// however many cells there are; those behind share the last.
constexpr std::ptrdiff_t kLastRank = 8;

int RankOf(const std::string& self, const clustermetadata::Database& database, std::vector<std::string> cells) {
  const auto& own = database.cells();
  auto foreign = [&](const std::string& cell) { return std::find(own.begin(), own.end(), cell) == own.end(); };
  std::sort(cells.begin(), cells.end(), [&](const std::string& a, const std::string& b) {
    return std::make_pair(foreign(a), absl::string_view(a)) < std::make_pair(foreign(b), absl::string_view(b));
  });
  return static_cast<int>(std::min(std::find(cells.begin(), cells.end(), self) - cells.begin(), kLastRank));
}

absl::Duration BackOff() {
  static thread_local std::minstd_rand random(std::random_device{}());
  return absl::Milliseconds(std::uniform_int_distribution<int>(kMinBackOffMs, kMaxBackOffMs)(random));
}

}  // namespace

struct ShardEngine::Link {
  std::string address;
  std::unique_ptr<HealthStream> stream;
};

ShardEngine::ShardEngine(EngineOptions options, topology::Topology* topology)
    : options_(std::move(options)), topology_(topology), peers_(options_.self, options_.dialer) {
  view_.shard = options_.shard;
  view_.self = options_.self;
  view_.stale_after = std::max(kLeastStale, 4 * options_.health_interval);
}

ShardEngine::~ShardEngine() { Stop(); }

void ShardEngine::Start() {
  pooler_watch_ = topology_->WatchPoolers(
      [this](const std::vector<clustermetadata::Multipooler>& poolers) { PoolersChanged(poolers); });
  orch_watch_ =
      topology_->WatchOrchs([this](const std::vector<clustermetadata::Multiorch>& orchs) { peers_.Update(orchs); });
  claim_watch_ = topology_->WatchClaim(options_.shard, [this](const clustermetadata::ShardInitClaim& claim) {
    std::lock_guard lock(mutex_);
    view_.claim = claim;
    ++events_;
    changed_.notify_all();
  });
  thread_ = std::thread([this] { Loop(); });
}

void ShardEngine::Stop() {
  if (stop_.exchange(true)) {
    return;
  }
  Wake();
  if (thread_.joinable()) {
    thread_.join();
  }
  pooler_watch_.reset();
  orch_watch_.reset();
  claim_watch_.reset();
}

void ShardEngine::Wake() {
  std::lock_guard lock(mutex_);
  ++events_;
  changed_.notify_all();
}

ShardView ShardEngine::View() const {
  std::lock_guard lock(mutex_);
  return view_;
}

void ShardEngine::Disable() {
  enabled_ = false;
  std::lock_guard acting(acting_);  // no action is under way from here on
}

void ShardEngine::Enable() {
  enabled_ = true;
  Wake();
}

bool ShardEngine::RunOnce(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  std::uint64_t wanted = ++events_;
  changed_.notify_all();
  while (decided_ < wanted && !stop_) {
    if (changed_.wait_until(lock, absl::ToChronoTime(deadline)) == std::cv_status::timeout) {
      return false;
    }
  }
  return !stop_;
}

void ShardEngine::Prefer(const clustermetadata::ID& pooler, absl::Time until) {
  std::lock_guard lock(mutex_);
  view_.preferred = pooler;
  view_.preferred_until = until;
}

void ShardEngine::WaitForEvent(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  std::uint64_t seen = events_;
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return events_ != seen || stop_.load(); });
}

void ShardEngine::PoolersChanged(const std::vector<clustermetadata::Multipooler>& poolers) {
  std::lock_guard lock(mutex_);
  records_.clear();
  all_records_.clear();
  for (const clustermetadata::Multipooler& record : poolers) {
    if (topology::ShardKeyString(record.shard_key()) != topology::ShardKeyString(options_.shard)) {
      continue;
    }
    all_records_.push_back(record);
    // SHUTDOWN is authoritative: such a pooler has gone, whatever else its record says.
    if (record.lifecycle_status().status() != clustermetadata::LIFECYCLE_SHUTDOWN) {
      records_.push_back(record);
    }
  }
  records_changed_ = true;
  ++events_;
  changed_.notify_all();
}

// Streams and views for exactly the present records.
void ShardEngine::UpdateLinks() {
  std::map<std::string, clustermetadata::Multipooler> records;
  {
    std::lock_guard lock(mutex_);
    if (!records_changed_) {
      return;
    }
    records_changed_ = false;
    for (const clustermetadata::Multipooler& record : records_) {
      records[topology::IdString(record.id())] = record;
    }
  }
  std::vector<std::unique_ptr<Link>> old;  // ended outside the lock
  for (auto it = links_.begin(); it != links_.end();) {
    auto record = records.find(it->first);
    absl::StatusOr<std::string> address = record == records.end() ? absl::StatusOr<std::string>(absl::NotFoundError(""))
                                                                  : topology::AddressOf(record->second, "grpc");
    if (!address.ok() || *address != it->second->address) {
      old.push_back(std::move(it->second));
      it = links_.erase(it);
    } else {
      it->second->stream->Retry();
      ++it;
    }
  }
  old.clear();
  std::lock_guard lock(mutex_);
  for (auto it = view_.poolers.begin(); it != view_.poolers.end();) {
    it = records.contains(it->first) ? std::next(it) : view_.poolers.erase(it);
  }
  for (const auto& [text, record] : records) {
    PoolerView& pooler = view_.poolers[text];
    pooler.record = record;
    absl::StatusOr<std::string> address = topology::AddressOf(record, "grpc");
    if (links_.contains(text) || !address.ok()) {
      continue;
    }
    pooler.unreachable_since = absl::Now();
    auto link = std::make_unique<Link>();
    link->address = *address;
    link->stream = std::make_unique<HealthStream>(
        *address, options_.dialer, options_.health_interval,
        [this, text = text](const multipoolermanagerdata::StatusResponse& status) {
          std::lock_guard view_lock(mutex_);
          auto found = view_.poolers.find(text);
          if (found != view_.poolers.end()) {
            if (!std::exchange(found->second.connected, true) &&
                found->second.unreachable_since != absl::InfinitePast()) {
              log::Info("health stream up again",
                        {{"shard", topology::ShardKeyString(options_.shard)}, {"pooler", text}});
            }
            found->second.last_seen = absl::Now();
            found->second.status = status;
            ++events_;
            changed_.notify_all();
          }
        },
        [this, text = text] {
          std::lock_guard view_lock(mutex_);
          auto found = view_.poolers.find(text);
          if (found != view_.poolers.end() && found->second.connected) {
            found->second.connected = false;
            found->second.unreachable_since = absl::Now();
            log::Warn("health stream lost", {{"shard", topology::ShardKeyString(options_.shard)}, {"pooler", text}});
            ++events_;
            changed_.notify_all();
          }
        });
    links_[text] = std::move(link);
  }
}

// What is read once and is needed before anything can be decided.
void ShardEngine::ReadTopology() {
  absl::Time deadline = absl::Now() + kTopologyLimit;
  absl::StatusOr<topology::Versioned<clustermetadata::Database>> database =
      topology_->GetDatabase(options_.shard.database(), deadline);
  absl::StatusOr<std::vector<std::string>> cells = topology_->CellNames(deadline);
  std::lock_guard lock(mutex_);
  if (database.ok()) {
    view_.database = database->record;
  }
  if (database.ok() && cells.ok()) {
    view_.rank = RankOf(options_.self.cell(), database->record, *std::move(cells));
  }
}

// Records that nobody will come back for.
void ShardEngine::Forget(absl::Time watching_since) {
  std::vector<clustermetadata::ID> forgotten;
  {
    std::lock_guard lock(mutex_);
    forgotten = Forgotten(all_records_, view_, watching_since, absl::Now());
  }
  for (const clustermetadata::ID& id : forgotten) {
    absl::Status deleted = topology_->DeletePooler(id, absl::Now() + kTopologyLimit);
    if (deleted.ok() || absl::IsNotFound(deleted)) {
      log::Info("the record of a pooler that has gone is deleted", {{"pooler", topology::IdString(id)}});
    } else {
      log::Warn("the record of a pooler that has gone could not be deleted",
                {{"pooler", topology::IdString(id)}, {"error", deleted}});
    }
  }
}

void ShardEngine::Loop() {
  const absl::Time begun = absl::Now();
  absl::Time forget_again = begun + kBookkeeping;
  absl::Time read_again = absl::InfinitePast();
  std::string last_why;
  while (!stop_) {
    if (absl::Now() >= read_again) {
      ReadTopology();
      std::optional<clustermetadata::Database> database = View().database;
      read_again = absl::Now() + (database.has_value() ? kTopologyAgain : kTopologyRetry);
    }
    if (enabled_ && absl::Now() >= forget_again) {
      Forget(begun);
      forget_again = absl::Now() + kBookkeeping;
    }
    UpdateLinks();
    for (const auto& [text, link] : links_) {
      link->stream->EndIfSilent(std::max(kLeastSilence, 2 * view_.stale_after));
    }
    ReapTasks(false);
    std::uint64_t events = 0;
    Action action;
    ShardView view;
    {
      std::lock_guard lock(mutex_);
      events = events_;
      action = Decide(&view_, absl::Now());
      view = view_;
    }
    if (!action.why.empty() && action.why != last_why) {
      log::Info("decision", {{"shard", topology::ShardKeyString(options_.shard)}, {"why", action.why}});
      last_why = action.why;
    }
    if (ConsultPeers(action)) {
      continue;
    }
    absl::Time wake_at = std::min({action.wake_at, read_again, absl::Now() + options_.cycle});
    if (action.kind != ActionKind::kNothing) {
      std::unique_lock acting(acting_);
      if (enabled_ && !stop_) {
        absl::Status status = Run(action, std::move(view));
        if (!status.ok() && !stop_) {
          log::Warn("action failed",
                    {{"shard", topology::ShardKeyString(options_.shard)}, {"why", action.why}, {"error", status}});
          absl::Duration pause = BackOff();
          acting.unlock();
          std::unique_lock lock(mutex_);
          changed_.wait_for(lock, absl::ToChronoMilliseconds(pause), [&] { return stop_.load(); });
        }
        wake_at = absl::InfinitePast();  // look again at what has come of it
      }
    }
    std::unique_lock lock(mutex_);
    decided_ = events;
    changed_.notify_all();
    while (events_ == events && !stop_ && absl::Now() < wake_at) {
      changed_.wait_until(lock, absl::ToChronoTime(wake_at));
    }
  }
  ReapTasks(true);
  links_.clear();
}

// What one orch alone does not know. True: decide again.
bool ShardEngine::ConsultPeers(const Action& action) {
  if (!action.ask_about.name().empty()) {
    PeerOrchs::Sight sight = peers_.Ask(options_.shard, action.ask_about, kSightLimit);
    std::lock_guard lock(mutex_);
    view_.sight = {.pooler = action.ask_about, .at = absl::Now(), .answered = sight.answered, .heard = sight.heard};
    return true;
  }
  if (action.kind != ActionKind::kAppoint || action.other_term == 0 ||
      !peers_.AtWork(action.other_coordinator, options_.shard, action.other_term, kAtWorkLimit)) {
    return false;
  }
  std::lock_guard lock(mutex_);
  view_.others_until = absl::Now() + kAskAgain;
  return true;
}

bool ShardEngine::AtWork(std::int64_t term) const {
  return term != 0 && appointing_term_ == term &&
         absl::Now() - absl::FromUnixNanos(appointing_since_) < kLongestAppointment;
}

bool ShardEngine::Hears(const clustermetadata::ID& pooler) const {
  std::lock_guard lock(mutex_);
  auto found = view_.poolers.find(topology::IdString(pooler));
  return found != view_.poolers.end() && found->second.connected &&
         absl::Now() - found->second.last_seen <= view_.stale_after && found->second.status.status().postgres_ready();
}

absl::StatusOr<clustermetadata::ShardRule> ShardEngine::RunAppointment(const ShardView& view, const Action& action,
                                                                       const std::function<bool()>& cancelled) {
  appointing_since_ = absl::ToUnixNanos(absl::Now());
  appointing_term_ = NewRevocation(view, action, absl::Now()).revoked_below_term();
  absl::StatusOr<clustermetadata::ShardRule> rule = Appoint(view, action, options_.dialer, cancelled);
  appointing_term_ = 0;
  return rule;
}

absl::Status ShardEngine::Run(const Action& action, ShardView view) {
  absl::Time deadline = absl::Now() + kTopologyLimit;
  switch (action.kind) {
    case ActionKind::kNothing:
      return absl::OkStatus();
    case ActionKind::kClaim: {
      absl::Status status = topology_->CreateClaim(options_.shard, action.claim, deadline);
      if (absl::IsAlreadyExists(status)) {
        status = absl::OkStatus();  // another orch was first; the watch brings its claim
      } else if (status.ok()) {
        log::Info("shard claimed", {{"seed", topology::IdString(action.claim.claimer_id())},
                                    {"members", action.claim.cohort_members_size()}});
      }
      std::unique_lock lock(mutex_);
      changed_.wait_until(lock, absl::ToChronoTime(deadline),
                          [&] { return view_.claim.has_claimer_id() || stop_.load() || !status.ok(); });
      return status;
    }
    case ActionKind::kReplaceClaim: {
      MG_ASSIGN_OR_RETURN(auto present, topology_->GetClaim(options_.shard, deadline));
      if (present.record.SerializeAsString() != view.claim.SerializeAsString()) {
        return absl::AbortedError("the claim has changed meanwhile");
      }
      log::Warn("taking the claim over", {{"seed", topology::IdString(action.claim.claimer_id())}});
      MG_RETURN_IF_ERROR(topology_->ReplaceClaim(options_.shard, action.claim, present.version, deadline));
      std::lock_guard lock(mutex_);
      view_.claim = action.claim;
      view_.since_claim_stuck = absl::InfiniteFuture();
      return absl::OkStatus();
    }
    case ActionKind::kAppoint:
      return RunAppointment(view, action, [this] { return stop_.load(); }).status();
    case ActionKind::kMaintain:
      Maintain(action, view);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

void ShardEngine::Maintain(const Action& action, const ShardView& view) {
  for (const std::string& text : action.set_primary) {
    {
      std::lock_guard lock(mutex_);
      auto found = view_.poolers.find(text);
      if (found == view_.poolers.end()) {
        continue;
      }
      found->second.last_set_primary = absl::Now();
      found->second.set_primary_running = true;
    }
    consensusdata::SetPrimaryRequest request;
    *request.mutable_replication_primary() = action.leader;
    StartTask(view.poolers.at(text), [this, text, request](PoolerClient* client) {
      absl::Status status = client->SetPrimary(request, kSetPrimaryLimit).status();
      if (!status.ok() && !stop_) {
        log::Warn("set primary failed", {{"pooler", text}, {"error", status}});
      }
      std::lock_guard lock(mutex_);
      auto found = view_.poolers.find(text);
      if (found != view_.poolers.end()) {
        found->second.set_primary_running = false;
      }
    });
  }
  if (action.hand_over) {
    std::string leader = topology::IdString(action.leader.primary().id());
    log::Info("the leader is asked to hand over", {{"leader", leader}, {"why", action.why}});
    StartTask(view.poolers.at(leader), [this, leader](PoolerClient* client) {
      absl::Status status = client->ResignLeadership(kResignLimit);
      if (!status.ok() && !stop_) {
        log::Warn("the leader did not hand over", {{"leader", leader}, {"error", status}});
      }
    });
    return;
  }
  bool busy = false;
  {
    std::lock_guard lock(mutex_);
    busy = rule_change_running_;
    rule_change_running_ |= !action.add_members.empty();
  }
  if (action.add_members.empty() || busy) {
    return;
  }
  multipoolermanagerdata::UpdateConsensusRuleRequest request;
  request.set_operation(multipoolermanagerdata::RULE_OPERATION_COHORT_ADD);
  for (const clustermetadata::ID& id : action.add_members) {
    log::Info("taking a pooler into the cohort", {{"pooler", topology::IdString(id)}});
    *request.add_standby_ids() = id;
  }
  *request.mutable_expected_outgoing_rule() = action.leader.position().decision().rule_number();
  *request.mutable_coordinator_id() = options_.self;
  StartTask(view.poolers.at(topology::IdString(action.leader.primary().id())), [this, request](PoolerClient* client) {
    absl::Status status = client->UpdateConsensusRule(request, kRuleChangeLimit);
    if (!status.ok() && !stop_) {
      // Another orch may have done it; the next snapshot tells.
      log::Warn("cohort was not changed", {{"error", status}});
    }
    std::lock_guard lock(mutex_);
    rule_change_running_ = false;
  });
}

void ShardEngine::StartTask(const PoolerView& pooler, std::function<void(PoolerClient*)> work) {
  absl::StatusOr<std::string> address = topology::AddressOf(pooler.record, "grpc");
  Task task;
  task.client = std::make_shared<PoolerClient>(address.ok() ? *address : "", options_.dialer);
  task.done = std::make_shared<std::atomic<bool>>(false);
  task.thread = std::thread([this, client = task.client, done = task.done, work = std::move(work)] {
    work(client.get());
    *done = true;
    Wake();
  });
  tasks_.push_back(std::move(task));
}

void ShardEngine::ReapTasks(bool all) {
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    if (all) {
      it->client->Cancel();
    }
    if (all || *it->done) {
      it->thread.join();
      it = tasks_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace mg::multiorch
