#include "components/multigateway/router.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace mg::multigateway {
namespace {

using clustermetadata::Multipooler;

bool IsPrimary(const Multipooler& pooler) {
  return pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY;
}

std::pair<std::int64_t, std::int64_t> RuleOf(const Multipooler& pooler) {
  return {pooler.routing_state().rule().coordinator_term(), pooler.routing_state().rule().leader_subterm()};
}

}  // namespace

Router::Router(topology::Topology* topology, std::string cell, rpc::Dialer dialer)
    : topology_(topology), cell_(std::move(cell)), health_(std::move(dialer), [this] { Changed(); }) {}

void Router::Start() {
  watch_ = topology_->WatchPoolers([this](std::vector<Multipooler> poolers) {
    {
      std::lock_guard lock(mutex_);
      poolers_ = poolers;
    }
    health_.Follow(poolers);
    Changed();
  });
}

void Router::Stop() {
  watch_.reset();
  health_.Stop();
}

void Router::TellPrimaries() {
  std::set<std::string> databases;
  {
    std::lock_guard lock(mutex_);
    for (const Multipooler& pooler : poolers_) {
      databases.insert(pooler.shard_key().database());
    }
  }
  std::lock_guard lock(told_mutex_);
  for (const std::string& database : databases) {
    std::optional<Multipooler> primary = Primary(database);
    std::string id = primary.has_value() ? topology::IdString(primary->id()) : "";
    std::string rule =
        primary.has_value() ? absl::StrCat("{", RuleOf(*primary).first, ",", RuleOf(*primary).second, "}") : "";
    std::pair<std::string, std::string>& told = told_[database];
    if (told == std::make_pair(id, rule)) {
      continue;
    }
    told = {id, rule};
    if (primary.has_value()) {
      log::Info("primary changed", {{"database", database}, {"pooler", id}, {"rule", rule}});
    } else {
      log::Info("no primary serves", {{"database", database}});
    }
  }
}

void Router::Changed() {
  TellPrimaries();
  if (changed_) {
    changed_();
  }
}

bool Router::any() const {
  std::lock_guard lock(mutex_);
  return !poolers_.empty();
}

std::optional<std::string> Router::DatabaseFor(const std::string& wanted, const std::string& fallback) const {
  std::lock_guard lock(mutex_);
  const std::string* only = nullptr;
  bool several = false;
  for (const Multipooler& pooler : poolers_) {
    const std::string& database = pooler.shard_key().database();
    if (database == wanted) {
      return database;
    }
    several |= only != nullptr && *only != database;
    only = &database;
  }
  if (!fallback.empty() || only == nullptr) {
    return fallback;
  }
  return several ? std::nullopt : std::make_optional(*only);
}

std::vector<Multipooler> Router::Live(const std::string& database) const {
  std::lock_guard lock(mutex_);
  std::vector<Multipooler> live;
  for (const Multipooler& pooler : poolers_) {
    bool gone = pooler.lifecycle_status().status() == clustermetadata::LIFECYCLE_SHUTDOWN;
    if (!gone && (database.empty() || pooler.shard_key().database() == database)) {
      live.push_back(pooler);
      if (std::optional<PoolerHealth::State> own = health_.Of(pooler.id()); own.has_value()) {
        live.back().set_serving_status(own->serving);
        *live.back().mutable_routing_state() = std::move(own->routing);
      }
    }
  }
  return live;
}

std::optional<Multipooler> Router::Primary(const std::string& database) const {
  std::optional<Multipooler> best;
  for (Multipooler& pooler : Live(database)) {
    if (IsPrimary(pooler) && pooler.serving_status() == clustermetadata::SERVING &&
        (!best.has_value() || RuleOf(pooler) > RuleOf(*best))) {
      best = std::move(pooler);
    }
  }
  return best;
}

std::optional<Multipooler> Router::Standby(const std::string& database, unsigned turn) const {
  std::vector<Multipooler> near, far;
  for (Multipooler& pooler : Live(database)) {
    if (!IsPrimary(pooler) && pooler.serving_status() == clustermetadata::SERVING &&
        pooler.lifecycle_status().status() == clustermetadata::LIFECYCLE_ACTIVE) {
      (pooler.id().cell() == cell_ ? near : far).push_back(std::move(pooler));
    }
  }
  near.insert(near.end(), far.begin(), far.end());
  if (near.empty()) {
    return std::nullopt;
  }
  return near[turn % near.size()];
}

std::vector<Multipooler> Router::ForCredentials(const std::string& database) const {
  std::vector<Multipooler> live = Live(database);
  // A frozen former primary still claims to be one.
  const Multipooler* leader = nullptr;
  for (const Multipooler& pooler : live) {
    if (IsPrimary(pooler) && (leader == nullptr || RuleOf(pooler) > RuleOf(*leader))) {
      leader = &pooler;
    }
  }
  const std::string leading = leader == nullptr ? "" : topology::IdString(leader->id());
  auto rank = [&](const Multipooler& pooler) {
    return topology::IdString(pooler.id()) == leading ? 0 : pooler.id().cell() == cell_ ? 1 : 2;
  };
  std::stable_sort(live.begin(), live.end(),
                   [&](const Multipooler& a, const Multipooler& b) { return rank(a) < rank(b); });
  return live;
}

}  // namespace mg::multigateway
