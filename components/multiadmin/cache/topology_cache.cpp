#include "components/multiadmin/cache/topology_cache.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/etcd/away.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

using clustermetadata::Cell;
using clustermetadata::Database;
using clustermetadata::Multigateway;
using clustermetadata::Multiorch;
using clustermetadata::Multipooler;

/// How long a reader waits for an etcd that has just gone: a restart takes less.
constexpr absl::Duration kGrace = absl::Seconds(3);
std::string Clean(absl::string_view root) {
  while (absl::ConsumeSuffix(&root, "/")) {
  }
  return std::string(root);
}

template <typename Addresses>
std::string KeyOf(const Addresses& addresses) {
  std::vector<std::string> sorted(addresses.begin(), addresses.end());
  std::sort(sorted.begin(), sorted.end());
  return absl::StrJoin(sorted, ",");
}

template <typename Record>
std::shared_ptr<const google::protobuf::Message> Decode(const std::string& value) {
  auto record = std::make_shared<Record>();
  return record->ParseFromString(value) ? record : nullptr;
}

/// Whether the topology has such a key, and its record. What else lies in an etcd is not kept.
bool DecodeByLeaf(const std::string& key, const std::string& value,
                  std::shared_ptr<const google::protobuf::Message>* record) {
  absl::string_view leaf = absl::string_view(key).substr(key.rfind('/') + 1);
  if (leaf == "Pooler") {
    *record = Decode<Multipooler>(value);
  } else if (leaf == "Gateway") {
    *record = Decode<Multigateway>(value);
  } else if (leaf == "Orch") {
    *record = Decode<Multiorch>(value);
  } else if (leaf == "Cell") {
    *record = Decode<Cell>(value);
  } else if (leaf == "Database") {
    *record = Decode<Database>(value);
  } else if (leaf == "ShardInitClaim") {
    *record = Decode<clustermetadata::ShardInitClaim>(value);
  } else {
    return false;
  }
  return true;
}

}  // namespace

TopologyCache::TopologyCache(std::vector<std::string> servers, std::string root, Connect connect)
    : servers_(std::move(servers)),
      root_(Clean(root)),
      connect_(std::move(connect)),
      global_client_(connect_(servers_)) {
  global_.client = global_client_;
  global_.prefix = absl::StrCat(root_, "/");
  global_.since = absl::Now();
  Follow(&global_);
  keeper_ = std::thread([this] { Keep(); });
  teller_ = std::thread([this] { Tell(); });
}

TopologyCache::~TopologyCache() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  keeper_.join();
  teller_.join();
  // Watches end without the lock that their callbacks take.
  global_.watch.reset();
  for (auto& [key, source] : sources_) {
    source->watch.reset();
  }
}

void TopologyCache::Changed() {
  ++revision_;
  dirty_ = true;
  changed_.notify_all();
}

bool TopologyCache::Take(Source* source, const etcd::KeyValue& kv) {
  Entry entry{.version = kv.mod_revision, .record = nullptr};
  if (!DecodeByLeaf(kv.key, kv.value, &entry.record)) {
    return false;
  }
  if (entry.record == nullptr) {
    log::Warn("a topology record cannot be read", {{"key", kv.key}});
  }
  Entry& place = source->entries[kv.key];
  if (place.version == entry.version) {
    return true;  // the same object, so that whoever compares views sees no change
  }
  place = std::move(entry);
  Plan(source, kv.key, place.record.get());
  return true;
}

void TopologyCache::Follow(Source* source) {
  source->watch = source->client->WatchPrefix(
      source->prefix,
      [this, source](const etcd::RangeResult& all) {
        std::lock_guard lock(mutex_);
        std::set<std::string> present;
        for (const etcd::KeyValue& kv : all.entries) {
          if (Take(source, kv)) {
            present.insert(kv.key);
          }
        }
        std::erase_if(source->entries, [&](const auto& entry) {
          bool gone = !present.contains(entry.first);
          if (gone) {
            Plan(source, entry.first, nullptr);
          }
          return gone;
        });
        source->synced = true;
        source->seen = all.revision;
        Changed();
      },
      [this, source](const etcd::WatchEvent& event) {
        std::lock_guard lock(mutex_);
        if (event.deleted) {
          source->entries.erase(event.entry.key);
          Plan(source, event.entry.key, nullptr);
        } else {
          Take(source, event.entry);
        }
        source->seen = event.entry.mod_revision;
        Changed();
      },
      [this, source](const absl::Status& status) {
        std::lock_guard lock(mutex_);
        if (source->synced) {
          source->synced = false;
          source->since = absl::Now();
        }
        source->problem = std::string(status.message());
        Changed();
      });
}

void TopologyCache::Plan(const Source* source, const std::string& key, const google::protobuf::Message* record) {
  if (source != &global_ || !absl::EndsWith(key, "/Cell")) {
    return;
  }
  const auto* cell = dynamic_cast<const Cell*>(record);
  bool changed =
      cell == nullptr || cell->server_addresses().empty()
          ? plan_.Erase(key)
          : plan_.Put(key,
                      topology::SortedAddresses({cell->server_addresses().begin(), cell->server_addresses().end()}),
                      Clean(cell->root()));
  cells_changed_ |= changed;
}

void TopologyCache::Keep() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    changed_.wait(lock, [this] { return stopped_ || cells_changed_; });
    cells_changed_ = false;
    std::map<std::string, std::string> wanted;
    for (const auto& [addresses, directory] : plan_.wanted()) {
      wanted[absl::StrJoin(addresses, ",")] = directory;
    }
    std::vector<std::shared_ptr<Source>> obsolete;
    for (auto it = sources_.begin(); it != sources_.end();) {
      auto want = wanted.find(it->first);
      if (want == wanted.end() || !absl::StartsWith(want->second, it->second->prefix)) {
        obsolete.push_back(it->second);
        it = sources_.erase(it);
      } else {
        ++it;
      }
    }
    std::vector<Source*> fresh;
    for (const auto& [addresses, prefix] : wanted) {
      if (sources_.contains(addresses)) {
        continue;
      }
      auto source = std::make_shared<Source>();
      std::vector<std::string> list = absl::StrSplit(addresses, ',');
      std::vector<std::string> servers = servers_;
      std::sort(servers.begin(), servers.end());
      source->client = list == servers ? global_client_ : std::shared_ptr<etcd::Client>(connect_(list));
      source->prefix = prefix;
      source->since = absl::Now();
      sources_[addresses] = source;
      fresh.push_back(source.get());
    }
    if (!fresh.empty() || !obsolete.empty()) {
      Changed();
    }
    lock.unlock();
    // Ends and begins of watches take the lock in their callbacks.
    for (const std::shared_ptr<Source>& source : obsolete) {
      source->watch.reset();
    }
    for (Source* source : fresh) {
      Follow(source);
    }
    lock.lock();
  }
}

void TopologyCache::Tell() {
  std::int64_t told = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || revision_ != told; });
      if (stopped_) {
        return;
      }
      told = revision_;
    }
    std::lock_guard lock(subscribers_mutex_);
    for (const auto& [id, subscriber] : subscribers_) {
      subscriber();
    }
  }
}

std::unique_ptr<TopologyCache::Subscription> TopologyCache::Subscribe(std::function<void()> changed) {
  std::lock_guard lock(subscribers_mutex_);
  subscribers_[++next_subscriber_] = std::move(changed);
  return std::make_unique<Subscription>(this, next_subscriber_);
}

TopologyCache::Subscription::~Subscription() {
  std::lock_guard lock(cache_->subscribers_mutex_);
  cache_->subscribers_.erase(id_);
}

void TopologyCache::AddComponentsLocked(CellView* cell) const {
  auto it = sources_.find(KeyOf(cell->cell->server_addresses()));
  if (it == sources_.end()) {
    cell->readable = absl::UnavailableError(cell->cell->server_addresses().empty() ? "the cell has no addresses"
                                                                                   : "its etcd is not followed");
    return;
  }
  const Source& source = *it->second;
  if (!source.synced) {
    // What was known of it stays: for a watcher nothing went.
    cell->readable = absl::UnavailableError(absl::StrCat("its etcd does not answer: ", source.problem));
  }
  std::string root = Clean(cell->cell->root());
  auto add = [&](absl::string_view directory, auto* records) {
    using Record = typename std::remove_reference_t<decltype((*records)[0])>::element_type;
    std::string prefix = absl::StrCat(root, "/", directory, "/");
    for (auto entry = source.entries.lower_bound(prefix);
         entry != source.entries.end() && absl::StartsWith(entry->first, prefix); ++entry) {
      auto record = std::dynamic_pointer_cast<Record>(entry->second.record);
      if (record == nullptr) {
        cell->readable = absl::DataLossError(absl::StrCat("the topology record ", entry->first, " cannot be decoded"));
      } else if (record->id().cell() == cell->cell->name()) {
        // Cells may share a root; a record belongs to the cell that its id names.
        records->push_back(std::move(record));
      }
    }
  };
  add("poolers", &cell->poolers);
  add("gateways", &cell->gateways);
  add("orchs", &cell->orchs);
}

std::shared_ptr<const TopologyView> TopologyCache::ViewLocked() {
  if (!dirty_ && view_ != nullptr) {
    return view_;
  }
  auto view = std::make_shared<TopologyView>();
  view->revision = revision_;
  for (const auto& [key, entry] : global_.entries) {
    absl::string_view path = absl::StripPrefix(key, global_.prefix);
    if (absl::ConsumePrefix(&path, "cells/") && absl::ConsumeSuffix(&path, "/Cell")) {
      auto cell = std::dynamic_pointer_cast<const Cell>(entry.record);
      if (cell == nullptr) {
        view->broken.insert(key);
        continue;
      }
      CellView& place = view->cells[std::string(path)];
      place.cell = std::move(cell);
      place.version = entry.version;
      AddComponentsLocked(&place);
    } else if (absl::ConsumePrefix(&path, "databases/")) {
      if (absl::ConsumeSuffix(&path, "/ShardInitClaim")) {
        view->claimed_shards.insert(std::string(path));
      } else if (absl::ConsumeSuffix(&path, "/Database")) {
        auto database = std::dynamic_pointer_cast<const Database>(entry.record);
        if (database == nullptr) {
          view->broken.insert(key);
          continue;
        }
        view->databases[std::string(path)] = {.database = std::move(database), .version = entry.version};
      }
    }
  }
  view_ = std::move(view);
  dirty_ = false;
  return view_;
}

absl::StatusOr<std::shared_ptr<const TopologyView>> TopologyCache::Get(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  auto settled = [this] {
    return stopped_ ||
           (global_.synced && !cells_changed_ &&
            std::all_of(sources_.begin(), sources_.end(), [](const auto& source) { return source.second->synced; }));
  };
  if (!settled()) {
    absl::Time now = absl::Now();
    absl::Time limit = global_.synced ? now : global_.since + kGrace;
    for (const auto& [addresses, source] : sources_) {
      limit = std::max(limit, source->synced ? now : source->since + kGrace);
    }
    if (cells_changed_) {
      limit = std::max(limit, now + kGrace);
    }
    limit = std::min(limit, now + (deadline - now) * 0.8);
    changed_.wait_until(lock, absl::ToChronoTime(limit), settled);
  }
  if (!global_.synced) {
    return etcd::TopologyAway(global_.problem);
  }
  return ViewLocked();
}

std::shared_ptr<const TopologyView> TopologyCache::Peek() {
  std::lock_guard lock(mutex_);
  return global_.synced || view_ != nullptr ? ViewLocked() : nullptr;
}

bool TopologyCache::Await(const std::function<bool(const TopologyView&)>& holds, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  bool held = false;
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] {
    held = global_.synced && holds(*ViewLocked());
    return held || stopped_;
  });
  return held;
}

void TopologyCache::AwaitGlobal(std::int64_t revision, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(deadline),
                      [&] { return stopped_ || (global_.synced && global_.seen >= revision); });
}

std::shared_ptr<etcd::Client> TopologyCache::CellClient(const std::string& cell) {
  std::lock_guard lock(mutex_);
  auto entry = global_.entries.find(absl::StrCat(global_.prefix, "cells/", cell, "/Cell"));
  const auto* record = entry == global_.entries.end() ? nullptr : dynamic_cast<const Cell*>(entry->second.record.get());
  auto source = record == nullptr ? sources_.end() : sources_.find(KeyOf(record->server_addresses()));
  return source == sources_.end() ? nullptr : source->second->client;
}

std::shared_ptr<etcd::Client> TopologyCache::ClientAt(const std::vector<std::string>& addresses) {
  if (KeyOf(addresses) == KeyOf(servers_)) {
    return global_client_;
  }
  {
    std::lock_guard lock(mutex_);
    if (auto source = sources_.find(KeyOf(addresses)); source != sources_.end()) {
      return source->second->client;
    }
  }
  return connect_(addresses);
}

}  // namespace mg::multiadmin
