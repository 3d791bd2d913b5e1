/// Follows one kind of record in every cell: one watch of the cells, and one for each etcd that holds cells, below the
/// directory that holds all of theirs. Threads and connections are as many as etcds, whatever the number of cells; an
/// etcd that is away holds up nobody else's records. For topology.cpp.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "clustermetadata.pb.h"
#include "common/etcd/etcd_client.h"
#include "common/log/log.h"
#include "common/topology/source_plan.h"
#include "common/topology/topology.h"

namespace mg::topology {

template <typename Record>
class AllCellsWatch final : public Topology::Watch {
 public:
  struct Options {
    std::string cells_prefix;        ///< of the global topology
    std::string directory, leaf;     ///< `poolers`, `/Pooler`
    SourcePlan::Addresses fallback;  ///< of a cell whose record names none
    std::function<std::shared_ptr<etcd::Client>(const SourcePlan::Addresses&)> connect;
    std::function<void(std::vector<Record>)> changed;  ///< gets the complete list
  };

  AllCellsWatch(etcd::Client* global, Options options) : options_(std::move(options)) {
    cells_watch_ = global->WatchPrefix(
        options_.cells_prefix, [this](const etcd::RangeResult& all) { TakeCells(all); },
        [this](const etcd::WatchEvent& event) { TakeCell(event); });
  }

  ~AllCellsWatch() override {
    cells_watch_.reset();
    // No source comes any more; their watches end without the lock that their callbacks take.
    for (auto& [addresses, source] : sources_) {
      source->watch.reset();
    }
  }

 private:
  struct Source {
    std::shared_ptr<etcd::Client> client;
    std::string prefix;
    std::map<std::string, Record> records;  ///< by key, of any cell
    std::unique_ptr<etcd::Client::Watch> watch;
  };

  struct Place {
    SourcePlan::Addresses addresses;
    std::string prefix;  ///< of its records
  };

  // The following four run on the cells' watch thread only.

  void TakeCells(const etcd::RangeResult& all) {
    bool changed = false;
    {
      std::lock_guard lock(mutex_);
      std::set<std::string> present;
      for (const etcd::KeyValue& kv : all.entries) {
        changed |= PutCell(kv);
        present.insert(NameOf(kv.key));
      }
      for (const std::string& name : plan_.cells()) {
        changed |= !present.contains(name) && EraseCell(name);
      }
    }
    Follow(changed);
  }

  void TakeCell(const etcd::WatchEvent& event) {
    bool changed = false;
    {
      std::lock_guard lock(mutex_);
      changed = event.deleted ? EraseCell(NameOf(event.entry.key)) : PutCell(event.entry);
    }
    Follow(changed);
  }

  /// Whether the records that are told may be others now.
  bool PutCell(const etcd::KeyValue& kv) {
    clustermetadata::Cell cell;
    std::string name = NameOf(kv.key);
    if (name.empty()) {
      return false;
    }
    if (!cell.ParseFromString(kv.value)) {
      log::Warn("a topology record cannot be read", {{"key", kv.key}});
      return false;  // one that was known stays as it was known
    }
    SourcePlan::Addresses addresses = SortedAddresses({cell.server_addresses().begin(), cell.server_addresses().end()});
    if (addresses.empty()) {
      addresses = options_.fallback;
    }
    bool replan = plan_.Put(name, addresses, cell.root());
    replan_ |= replan;
    Place place{std::move(addresses), JoinPath(cell.root(), absl::StrCat(options_.directory, "/"))};
    Place& known = places_[name];
    bool moved = known.prefix != place.prefix || known.addresses != place.addresses;
    known = std::move(place);
    return moved && HasRecordsLocked(known);
  }

  bool EraseCell(const std::string& name) {
    auto place = places_.find(name);
    if (place == places_.end()) {
      return false;
    }
    bool had = HasRecordsLocked(place->second);
    places_.erase(place);
    replan_ |= plan_.Erase(name);
    return had;
  }

  /// Makes the watches those that are wanted, and tells when told to.
  void Follow(bool tell) {
    std::vector<std::shared_ptr<Source>> obsolete, fresh;
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(replan_, false)) {
        Replan(&obsolete, &fresh);
      }
      if (tell) {
        TellLocked();
      }
    }
    // Ends and begins of watches take the lock in their callbacks.
    for (const std::shared_ptr<Source>& source : obsolete) {
      source->watch.reset();
    }
    for (const std::shared_ptr<Source>& source : fresh) {
      Source* plain = source.get();
      plain->watch = plain->client->WatchPrefix(
          plain->prefix, [this, plain](const etcd::RangeResult& all) { TakeRecords(plain, all); },
          [this, plain](const etcd::WatchEvent& event) { TakeRecord(plain, event); });
    }
  }

  void Replan(std::vector<std::shared_ptr<Source>>* obsolete, std::vector<std::shared_ptr<Source>>* fresh) {
    const auto& wanted = plan_.wanted();
    for (auto it = sources_.begin(); it != sources_.end();) {
      auto want = wanted.find(it->first);
      if (want == wanted.end()) {
        obsolete->push_back(it->second);
        it = sources_.erase(it);
        continue;
      }
      if (want->second != it->second->prefix) {
        // What is known stays until the wider watch has read it anew.
        auto wider = std::make_shared<Source>();
        wider->client = it->second->client;
        wider->prefix = want->second;
        wider->records = it->second->records;
        obsolete->push_back(std::exchange(it->second, wider));
        fresh->push_back(wider);
      }
      ++it;
    }
    for (const auto& [addresses, prefix] : wanted) {
      std::shared_ptr<Source>& source = sources_[addresses];
      if (source == nullptr) {
        source = std::make_shared<Source>();
        source->client = options_.connect(addresses);
        source->prefix = prefix;
        fresh->push_back(source);
      }
    }
    if (plan_.left_out() > 0) {
      log::Warn("cells lie in too many etcds, the last ones are not followed",
                {{"cells_left_out", static_cast<std::int64_t>(plan_.left_out())}});
    }
  }

  void TakeRecords(Source* source, const etcd::RangeResult& all) {
    std::lock_guard lock(mutex_);
    source->records.clear();
    for (const etcd::KeyValue& one : all.entries) {
      Take(source, one);
    }
    TellLocked();
  }

  void TakeRecord(Source* source, const etcd::WatchEvent& event) {
    std::lock_guard lock(mutex_);
    bool changed = event.deleted ? source->records.erase(event.entry.key) > 0 : Take(source, event.entry);
    if (changed) {
      TellLocked();
    }
  }

  bool Take(Source* source, const etcd::KeyValue& kv) {
    // Something else lies in the etcd too.
    if (!absl::EndsWith(kv.key, options_.leaf) ||
        !absl::StrContains(kv.key, absl::StrCat("/", options_.directory, "/"))) {
      return false;
    }
    Record record;
    if (!record.ParseFromString(kv.value)) {
      log::Warn("a topology record cannot be read", {{"key", kv.key}});
      return false;
    }
    source->records[kv.key] = std::move(record);
    return true;
  }

  bool HasRecordsLocked(const Place& place) const {
    auto source = sources_.find(place.addresses);
    if (source == sources_.end()) {
      return false;
    }
    auto first = source->second->records.lower_bound(place.prefix);
    return first != source->second->records.end() && absl::StartsWith(first->first, place.prefix);
  }

  /// Calls come one at a time and in order, as the lock is held.
  void TellLocked() {
    std::map<std::string, std::vector<const Record*>> by_cell;
    for (const auto& [addresses, source] : sources_) {
      for (const auto& [key, record] : source->records) {
        // Cells may share a root; a record belongs to the cell that its id names, and counts only where that lives.
        auto place = places_.find(record.id().cell());
        if (place != places_.end() && place->second.addresses == addresses &&
            absl::StartsWith(key, place->second.prefix)) {
          by_cell[place->first].push_back(&record);
        }
      }
    }
    std::vector<Record> all;
    for (const auto& [cell, records] : by_cell) {
      for (const Record* record : records) {
        all.push_back(*record);
      }
    }
    options_.changed(std::move(all));
  }

  /// Of the key of a cell's record; empty for other keys.
  std::string NameOf(absl::string_view key) const {
    return absl::ConsumePrefix(&key, options_.cells_prefix) && absl::ConsumeSuffix(&key, "/Cell") ? std::string(key)
                                                                                                  : "";
  }

  static constexpr std::size_t kMaxSources = 64;

  const Options options_;
  std::mutex mutex_;  ///< held while `changed` is told
  SourcePlan plan_{kMaxSources};
  bool replan_ = false;
  std::map<std::string, Place> places_;  ///< by cell
  std::map<SourcePlan::Addresses, std::shared_ptr<Source>> sources_;
  std::unique_ptr<etcd::Client::Watch> cells_watch_;
};

}  // namespace mg::topology
