// The end of a cell: only when nothing lives in it, and with everything that points to it, at once.
#include <grpcpp/channel.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multiadmin/cells.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr size_t kMaxOperations = 100;  ///< etcd allows 128 in a transaction
constexpr absl::Duration kProbe = absl::Seconds(1);
constexpr absl::Duration kSilence = absl::Seconds(3);  ///< of an etcd: it is away

constexpr const char* kDirectories[] = {"poolers/", "gateways/", "orchs/"};

/// One record below a cell's root.
struct Inhabitant {
  std::string label, cell;
  absl::StatusOr<std::string> address = absl::NotFoundError("");
  bool stopped = false;
};

template <typename Record>
Inhabitant Read(const etcd::KeyValue& kv) {
  Record record;
  if (!record.ParseFromString(kv.value)) {
    return {.label = kv.key, .cell = ""};  // whose it is cannot be told: it counts
  }
  Inhabitant one{.label = topology::IdString(record.id()), .cell = record.id().cell()};
  one.address = topology::AddressOf(record, "grpc");
  if constexpr (std::is_same_v<Record, clustermetadata::Multipooler>) {
    one.stopped = record.lifecycle_status().status() == clustermetadata::LIFECYCLE_SHUTDOWN;
  }
  return one;
}

}  // namespace

bool Cells::Answers(const std::string& address, absl::Time deadline) const {
  return dialer_.Dial(address)->WaitForConnected(absl::ToChronoTime(std::min(deadline, absl::Now() + kProbe)));
}

absl::StatusOr<Cells::Inhabitants> Cells::Inhabit(const clustermetadata::Cell& cell, bool forget_silent,
                                                  absl::Time deadline) {
  std::shared_ptr<etcd::Client> client = cache_->CellClient(cell.name());
  std::string prefix = absl::StrCat(absl::StripSuffix(cell.root(), "/"), "/");
  absl::StatusOr<etcd::RangeResult> all = absl::UnavailableError("it is not known");
  if (client != nullptr) {
    all = client->GetPrefix(prefix, /*keys_only=*/false, std::min(deadline, absl::Now() + kSilence));
  }
  if (!all.ok() && forget_silent) {
    return Inhabitants();  // whatever was registered there cannot be found by anybody
  }
  if (!all.ok()) {
    return MakeError(
        absl::StatusCode::kUnavailable,
        absl::StrCat("the etcd of cell '", cell.name(), "' (", absl::StrJoin(cell.server_addresses(), ", "),
                     ") does not answer: ", all.status().message()),
        {.reason = "CELL_SILENT"});
  }
  Inhabitants result;
  result.revision = all->revision;
  for (const etcd::KeyValue& kv : all->entries) {
    absl::string_view path = absl::StripPrefix(kv.key, prefix);
    Inhabitant one;
    if (absl::StartsWith(path, "poolers/") && absl::EndsWith(path, "/Pooler")) {
      one = mg::multiadmin::Read<clustermetadata::Multipooler>(kv);
    } else if (absl::StartsWith(path, "gateways/") && absl::EndsWith(path, "/Gateway")) {
      one = mg::multiadmin::Read<clustermetadata::Multigateway>(kv);
    } else if (absl::StartsWith(path, "orchs/") && absl::EndsWith(path, "/Orch")) {
      one = mg::multiadmin::Read<clustermetadata::Multiorch>(kv);
    } else {
      continue;
    }
    if (!one.cell.empty() && one.cell != cell.name()) {
      continue;  // cells may share a root
    }
    result.keys.push_back(kv.key);
    result.versions.push_back(kv.mod_revision);
    if (!one.stopped && !(forget_silent && (!one.address.ok() || !Answers(*one.address, deadline)))) {
      result.living.push_back(one.label);
    }
  }
  return result;
}

absl::Status Cells::Forget(const clustermetadata::Cell& cell, const Inhabitants& inhabitants, absl::Time deadline) {
  std::shared_ptr<etcd::Client> client = cache_->CellClient(cell.name());
  for (size_t i = 0; client != nullptr && i < inhabitants.keys.size(); ++i) {
    absl::Status gone = client->DeleteIf(inhabitants.keys[i], inhabitants.versions[i], deadline);
    if (absl::IsAborted(gone)) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("cell '", cell.name(), "' is not empty: ", inhabitants.keys[i], " has come alive"),
                       {.reason = "CELL_NOT_EMPTY"});
    }
    if (!gone.ok() && !absl::IsNotFound(gone)) {
      return gone;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::DeleteCellResponse> Cells::Delete(const v1::DeleteCellRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Stored stored, Read(request.name(), request.version(), deadline));
  MG_ASSIGN_OR_RETURN(Inhabitants inhabitants, Inhabit(stored.record, request.forget_silent(), deadline));
  if (!inhabitants.living.empty()) {
    size_t shown = std::min<size_t>(inhabitants.living.size(), 5);
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat(
            "cell '", request.name(), "' is not empty: ",
            absl::StrJoin(inhabitants.living.begin(), inhabitants.living.begin() + static_cast<std::ptrdiff_t>(shown),
                          ", "),
            inhabitants.living.size() > shown ? absl::StrCat(" and ", inhabitants.living.size() - shown, " more") : ""),
        {.reason = "CELL_NOT_EMPTY",
         .hint = request.forget_silent() ? "they answer: stop them first, by multigres cluster stop with each name"
                                         : "stop them first, by multigres cluster stop with each name; --forget-silent "
                                           "also forgets what has crashed for good"});
  }
  etcd::Transaction transaction;
  std::string key = Key(request.name());
  transaction.conditions.push_back({.key = key, .mod_revision = stored.version});
  transaction.deletes.push_back(key);
  MG_ASSIGN_OR_RETURN(etcd::RangeResult databases,
                      cache_->global()->GetPrefix(absl::StrCat(cache_->root(), "/databases/"),
                                                  /*keys_only=*/false, deadline));
  for (const etcd::KeyValue& kv : databases.entries) {
    clustermetadata::Database database;
    if (!absl::EndsWith(kv.key, "/Database") || !database.ParseFromString(kv.value)) {
      continue;
    }
    auto* cells = database.mutable_cells();
    auto kept = std::remove(cells->begin(), cells->end(), request.name());
    if (kept == cells->end()) {
      continue;
    }
    cells->erase(kept, cells->end());
    if (cells->empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("cell '", request.name(), "' is the only one of database '", database.name(), "'"),
                       {.reason = "CELL_IN_USE", .hint = "delete the database first, or give it another cell"});
    }
    transaction.conditions.push_back({.key = kv.key, .mod_revision = kv.mod_revision});
    transaction.puts.emplace_back(kv.key, database.SerializeAsString());
  }
  // A database that comes meanwhile and lists the cell must not be missed.
  transaction.conditions.push_back({.key = absl::StrCat(cache_->root(), "/databases/"),
                                    .mod_revision = databases.revision,
                                    .prefix_unchanged_since = true});
  bool together = cache_->CellClient(request.name()).get() == cache_->global() &&
                  transaction.puts.size() + inhabitants.keys.size() < kMaxOperations;
  if (together) {
    // Nobody has registered there since it was read, and all of it goes at once.
    for (const char* directory : kDirectories) {
      transaction.conditions.push_back(
          {.key = absl::StrCat(absl::StripSuffix(stored.record.root(), "/"), "/", directory),
           .mod_revision = inhabitants.revision,
           .prefix_unchanged_since = true});
    }
    transaction.deletes.insert(transaction.deletes.end(), inhabitants.keys.begin(), inhabitants.keys.end());
  } else {
    MG_RETURN_IF_ERROR(Forget(stored.record, inhabitants, deadline));
  }
  absl::StatusOr<std::int64_t> revision = cache_->global()->Commit(transaction, deadline);
  if (absl::IsAborted(revision.status())) {
    return MakeError(absl::StatusCode::kAborted,
                     absl::StrCat("cell '", request.name(), "', a database or what lives there was changed meanwhile"),
                     {.reason = "VERSION_CHANGED", .hint = "read it again, and decide anew"});
  }
  MG_RETURN_IF_ERROR(revision.status());
  cache_->AwaitGlobal(*revision, deadline);
  v1::DeleteCellResponse response;
  *response.mutable_cell()->mutable_cell() = std::move(stored.record);
  response.mutable_cell()->set_version(stored.version);
  return response;
}

}  // namespace mg::multiadmin
