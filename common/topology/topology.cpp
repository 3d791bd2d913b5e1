#include "common/topology/topology.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/etcd/etcd_client.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/topology/all_cells_watch.h"
#include "common/topology/source_plan.h"

namespace mg::topology {
namespace {

using clustermetadata::Cell;
using clustermetadata::Database;
using clustermetadata::ID;
using clustermetadata::Multigateway;
using clustermetadata::Multiorch;
using clustermetadata::Multipooler;
using clustermetadata::ShardInitClaim;
using clustermetadata::ShardKey;

template <typename Record>
absl::StatusOr<Versioned<Record>> Decode(const etcd::KeyValue& kv) {
  Versioned<Record> result;
  if (!result.record.ParseFromString(kv.value)) {
    return absl::DataLossError(absl::StrCat("the topology record ", kv.key, " cannot be decoded"));
  }
  result.version = kv.mod_revision;
  return result;
}

/// Of all cells' records: each etcd costs a connection and, while it is read, a thread.
constexpr std::size_t kMaxReads = 64;

/// The path segment behind `prefix` in `key`.
std::string SegmentAfter(absl::string_view key, absl::string_view prefix) {
  absl::ConsumePrefix(&key, prefix);
  return std::string(key.substr(0, key.find('/')));
}

std::string ClaimPath(const ShardKey& shard) {
  return absl::StrCat("databases/", ShardKeyString(shard), "/ShardInitClaim");
}

class KeyWatch final : public Topology::Watch {
 public:
  KeyWatch(etcd::Client* client, const std::string& key, std::function<void(const ShardInitClaim&)> changed) {
    auto take = [changed](const etcd::KeyValue& kv) {
      ShardInitClaim claim;
      if (claim.ParseFromString(kv.value)) {
        changed(claim);
      }
    };
    watch_ = client->WatchPrefix(
        key,
        [changed, take](const etcd::RangeResult& all) {
          if (all.entries.empty()) {
            changed(ShardInitClaim());
          } else {
            take(all.entries[0]);
          }
        },
        [changed, take](const etcd::WatchEvent& event) {
          if (event.deleted) {
            changed(ShardInitClaim());
          } else {
            take(event.entry);
          }
        });
  }

 private:
  std::unique_ptr<etcd::Client::Watch> watch_;
};

class TopologyImpl final : public Topology {
 public:
  TopologyImpl(const std::vector<std::string>& servers, std::string root,
               std::shared_ptr<grpc::ChannelCredentials> credentials)
      : servers_(SortedAddresses(servers)),
        root_(std::move(root)),
        credentials_(std::move(credentials)),
        global_(etcd::Client::Create(servers, credentials_)) {}

  absl::StatusOr<std::vector<std::string>> CellNames(absl::Time deadline) override {
    return Names("cells/", "/Cell", deadline);
  }

  absl::StatusOr<Versioned<Cell>> GetCell(const std::string& name, absl::Time deadline) override {
    MG_ASSIGN_OR_RETURN(etcd::KeyValue kv,
                        global_->Get(JoinPath(root_, absl::StrCat("cells/", name, "/Cell")), deadline));
    return Decode<Cell>(kv);
  }

  absl::Status CreateCell(const Cell& cell, absl::Time deadline) override {
    MG_RETURN_IF_ERROR(ValidateCellName(cell.name()));
    return global_
        ->Create(JoinPath(root_, absl::StrCat("cells/", cell.name(), "/Cell")), cell.SerializeAsString(), deadline)
        .status();
  }

  bool AwaitCell(const std::string& name, absl::Time deadline) override {
    std::mutex mutex;
    std::condition_variable came;
    bool there = false;
    auto found = [&] {
      std::lock_guard lock(mutex);
      there = true;
      came.notify_all();
    };
    auto watch = global_->WatchPrefix(
        JoinPath(root_, absl::StrCat("cells/", name, "/Cell")),
        [&](const etcd::RangeResult& all) {
          if (!all.entries.empty()) {
            found();
          }
        },
        [&](const etcd::WatchEvent& event) {
          if (!event.deleted) {
            found();
          }
        });
    std::unique_lock lock(mutex);
    came.wait_until(lock, absl::ToChronoTime(deadline), [&] { return there; });
    bool result = there;
    lock.unlock();
    watch.reset();
    return result;
  }

  absl::StatusOr<std::vector<std::string>> DatabaseNames(absl::Time deadline) override {
    // Claims and locks lie below a database's directory too; only a record makes one.
    return Names("databases/", "/Database", deadline);
  }

  absl::StatusOr<Versioned<Database>> GetDatabase(const std::string& name, absl::Time deadline) override {
    MG_ASSIGN_OR_RETURN(etcd::KeyValue kv,
                        global_->Get(JoinPath(root_, absl::StrCat("databases/", name, "/Database")), deadline));
    return Decode<Database>(kv);
  }

  absl::Status CreateDatabase(const Database& database, absl::Time deadline) override {
    return global_
        ->Create(JoinPath(root_, absl::StrCat("databases/", database.name(), "/Database")),
                 database.SerializeAsString(), deadline)
        .status();
  }

  absl::StatusOr<std::vector<Multipooler>> Poolers(const std::string& cell, absl::Time deadline) override {
    return List<Multipooler>(cell, "poolers", "/Pooler", deadline);
  }
  absl::StatusOr<std::vector<Multigateway>> Gateways(const std::string& cell, absl::Time deadline) override {
    return List<Multigateway>(cell, "gateways", "/Gateway", deadline);
  }
  absl::StatusOr<std::vector<Multiorch>> Orchs(const std::string& cell, absl::Time deadline) override {
    return List<Multiorch>(cell, "orchs", "/Orch", deadline);
  }
  absl::StatusOr<Everywhere<Multigateway>> AllGateways(absl::Time deadline) override {
    return ListAll<Multigateway>("gateways", "/Gateway", deadline);
  }
  absl::Status PutPooler(const Multipooler& record, absl::Time deadline) override {
    return Put(record.id(), "poolers", "/Pooler", record.SerializeAsString(), deadline);
  }
  absl::Status PutGateway(const Multigateway& record, absl::Time deadline) override {
    return Put(record.id(), "gateways", "/Gateway", record.SerializeAsString(), deadline);
  }
  absl::Status PutOrch(const Multiorch& record, absl::Time deadline) override {
    return Put(record.id(), "orchs", "/Orch", record.SerializeAsString(), deadline);
  }
  absl::Status DeletePooler(const ID& id, absl::Time deadline) override {
    return Remove(id, "poolers", "/Pooler", deadline);
  }
  absl::Status DeleteGateway(const ID& id, absl::Time deadline) override {
    return Remove(id, "gateways", "/Gateway", deadline);
  }
  absl::Status DeleteOrch(const ID& id, absl::Time deadline) override { return Remove(id, "orchs", "/Orch", deadline); }

  absl::StatusOr<Versioned<ShardInitClaim>> GetClaim(const ShardKey& shard, absl::Time deadline) override {
    MG_ASSIGN_OR_RETURN(etcd::KeyValue kv, global_->Get(JoinPath(root_, ClaimPath(shard)), deadline));
    return Decode<ShardInitClaim>(kv);
  }
  absl::Status CreateClaim(const ShardKey& shard, const ShardInitClaim& claim, absl::Time deadline) override {
    return global_->Create(JoinPath(root_, ClaimPath(shard)), claim.SerializeAsString(), deadline).status();
  }
  absl::Status ReplaceClaim(const ShardKey& shard, const ShardInitClaim& claim, std::int64_t version,
                            absl::Time deadline) override {
    return global_->PutIf(JoinPath(root_, ClaimPath(shard)), claim.SerializeAsString(), version, deadline).status();
  }

  std::unique_ptr<Watch> WatchPoolers(std::function<void(std::vector<Multipooler>)> changed) override {
    return WatchAll<Multipooler>("poolers", "/Pooler", std::move(changed));
  }
  std::unique_ptr<Watch> WatchGateways(std::function<void(std::vector<Multigateway>)> changed) override {
    return WatchAll<Multigateway>("gateways", "/Gateway", std::move(changed));
  }
  std::unique_ptr<Watch> WatchOrchs(std::function<void(std::vector<Multiorch>)> changed) override {
    return WatchAll<Multiorch>("orchs", "/Orch", std::move(changed));
  }
  std::unique_ptr<Watch> WatchClaim(const ShardKey& shard,
                                    std::function<void(const ShardInitClaim&)> changed) override {
    return std::make_unique<KeyWatch>(global_.get(), JoinPath(root_, ClaimPath(shard)), std::move(changed));
  }

 private:
  struct Place {
    std::shared_ptr<etcd::Client> client;
    std::string root;
  };

  absl::StatusOr<std::vector<std::string>> Names(const std::string& directory, const std::string& leaf,
                                                 absl::Time deadline) {
    std::string prefix = JoinPath(root_, directory);
    MG_ASSIGN_OR_RETURN(etcd::RangeResult all, global_->GetPrefix(prefix, /*keys_only=*/true, deadline));
    std::set<std::string> names;
    for (const etcd::KeyValue& kv : all.entries) {
      std::string name = SegmentAfter(kv.key, prefix);
      if (kv.key == absl::StrCat(prefix, name, leaf)) {
        names.insert(name);
      }
    }
    return std::vector<std::string>(names.begin(), names.end());
  }

  /// One client per set of addresses; the global one serves cells that live in the same etcd.
  std::shared_ptr<etcd::Client> ClientFor(const Cell& cell) {
    return ClientFor(SortedAddresses({cell.server_addresses().begin(), cell.server_addresses().end()}));
  }

  std::shared_ptr<etcd::Client> ClientFor(const SourcePlan::Addresses& addresses) {
    if (addresses.empty() || addresses == servers_) {
      return global_;
    }
    std::lock_guard lock(mutex_);
    std::shared_ptr<etcd::Client>& client = clients_[addresses];
    if (client == nullptr) {
      client = etcd::Client::Create(addresses, credentials_);
    }
    return client;
  }

  absl::StatusOr<Place> PlaceOf(const std::string& cell, absl::Time deadline) {
    // Read anew each time: a cell's record may change.
    MG_ASSIGN_OR_RETURN(Versioned<Cell> record, GetCell(cell, deadline));
    return Place{ClientFor(record.record), record.record.root()};
  }

  template <typename Record>
  absl::StatusOr<std::vector<Record>> List(const std::string& cell, const std::string& directory,
                                           const std::string& leaf, absl::Time deadline) {
    MG_ASSIGN_OR_RETURN(Place place, PlaceOf(cell, deadline));
    MG_ASSIGN_OR_RETURN(etcd::RangeResult all,
                        place.client->GetPrefix(JoinPath(place.root, absl::StrCat(directory, "/")),
                                                /*keys_only=*/false, deadline));
    std::vector<Record> result;
    for (const etcd::KeyValue& kv : all.entries) {
      if (absl::EndsWith(kv.key, leaf)) {
        MG_ASSIGN_OR_RETURN(Versioned<Record> record, Decode<Record>(kv));
        if (record.record.id().cell() == cell) {
          result.push_back(std::move(record.record));
        }
      }
    }
    return result;
  }

  template <typename Record>
  absl::StatusOr<Everywhere<Record>> ListAll(const std::string& directory, const std::string& leaf,
                                             absl::Time deadline) {
    MG_ASSIGN_OR_RETURN(etcd::RangeResult all,
                        global_->GetPrefix(JoinPath(root_, "cells/"), /*keys_only=*/false, deadline));
    struct Source {
      std::string prefix;
      std::map<std::string, std::string> cells;  ///< the directory of its records by cell
      absl::StatusOr<etcd::RangeResult> read;
    };
    std::map<SourcePlan::Addresses, Source> sources;
    SourcePlan plan(kMaxReads);
    Everywhere<Record> result;
    for (const etcd::KeyValue& kv : all.entries) {
      absl::StatusOr<Versioned<Cell>> cell = Decode<Cell>(kv);
      if (!absl::EndsWith(kv.key, "/Cell")) {
        continue;
      }
      if (!cell.ok()) {
        result.unread.push_back(SegmentAfter(kv.key, JoinPath(root_, "cells/")));
        continue;
      }
      const Cell& record = cell->record;
      SourcePlan::Addresses addresses =
          SortedAddresses({record.server_addresses().begin(), record.server_addresses().end()});
      addresses = addresses.empty() ? servers_ : addresses;
      plan.Put(record.name(), addresses, record.root());
      sources[addresses].cells[record.name()] = JoinPath(record.root(), absl::StrCat(directory, "/"));
    }
    std::vector<std::thread> readers;
    for (auto& [addresses, source] : sources) {
      auto wanted = plan.wanted().find(addresses);
      if (wanted == plan.wanted().end()) {
        source.read = absl::ResourceExhaustedError("cells lie in too many etcds");
        continue;
      }
      source.prefix = wanted->second;
      // An etcd that is away holds up the others no longer than the deadline.
      readers.emplace_back([&source, deadline, client = ClientFor(addresses)] {
        source.read = client->GetPrefix(source.prefix, /*keys_only=*/false, deadline);
      });
    }
    for (std::thread& reader : readers) {
      reader.join();
    }
    for (const auto& [addresses, source] : sources) {
      if (!source.read.ok()) {
        for (const auto& [cell, prefix] : source.cells) {
          result.unread.push_back(cell);
        }
        continue;
      }
      for (const etcd::KeyValue& kv : source.read->entries) {
        if (!absl::EndsWith(kv.key, leaf) || !absl::StrContains(kv.key, absl::StrCat("/", directory, "/"))) {
          continue;
        }
        MG_ASSIGN_OR_RETURN(Versioned<Record> record, Decode<Record>(kv));
        auto cell = source.cells.find(record.record.id().cell());
        if (cell != source.cells.end() && absl::StartsWith(kv.key, cell->second)) {
          result.records.push_back(std::move(record.record));
        }
      }
    }
    return result;
  }

  absl::Status Put(const ID& id, const std::string& directory, const std::string& leaf, const std::string& value,
                   absl::Time deadline) {
    MG_ASSIGN_OR_RETURN(Place place, PlaceOf(id.cell(), deadline));
    return place.client->Put(JoinPath(place.root, absl::StrCat(directory, "/", IdString(id), leaf)), value, deadline)
        .status();
  }

  absl::Status Remove(const ID& id, const std::string& directory, const std::string& leaf, absl::Time deadline) {
    MG_ASSIGN_OR_RETURN(Place place, PlaceOf(id.cell(), deadline));
    absl::Status status =
        place.client->Delete(JoinPath(place.root, absl::StrCat(directory, "/", IdString(id), leaf)), deadline);
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }

  template <typename Record>
  std::unique_ptr<Watch> WatchAll(const std::string& directory, const std::string& leaf,
                                  std::function<void(std::vector<Record>)> changed) {
    return std::make_unique<AllCellsWatch<Record>>(
        global_.get(), typename AllCellsWatch<Record>::Options{
                           .cells_prefix = JoinPath(root_, "cells/"),
                           .directory = directory,
                           .leaf = leaf,
                           .fallback = servers_,
                           .connect = [this](const SourcePlan::Addresses& addresses) { return ClientFor(addresses); },
                           .changed = std::move(changed)});
  }

  const std::vector<std::string> servers_;
  const std::string root_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::shared_ptr<etcd::Client> global_;
  std::mutex mutex_;
  std::map<std::vector<std::string>, std::shared_ptr<etcd::Client>> clients_;
};

}  // namespace

std::unique_ptr<Topology> Topology::Create(const std::vector<std::string>& servers, const std::string& root,
                                           std::shared_ptr<grpc::ChannelCredentials> credentials) {
  return std::make_unique<TopologyImpl>(servers, root, std::move(credentials));
}

}  // namespace mg::topology
