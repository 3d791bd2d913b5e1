#include "components/multiadmin/cells.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr int kMaxAddresses = 16;
constexpr size_t kLongestAddress = 255;
constexpr size_t kLongestRoot = 200;
constexpr absl::Duration kIntroduction = absl::Seconds(2);  ///< for two etcds to answer which they are

bool Printable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

absl::Status CheckAddress(const std::string& address) {
  size_t colon = address.rfind(':');
  int port = 0;
  bool good = colon != std::string::npos && colon > 0 && address.size() <= kLongestAddress && Printable(address) &&
              !absl::StrContains(address, ',') && absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 1 &&
              port <= 65535;
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(
                    absl::StrCat("'", address, "' is not an address: host:port, with a port of 1 to 65535"));
}

absl::Status CheckRoot(const std::string& root, const std::string& global_root) {
  bool good = root.size() > 1 && root.size() <= kLongestRoot && root[0] == '/' && root.back() != '/' &&
              Printable(root) && !absl::StrContains(root, "//") && !absl::StrContains(root, "/../") &&
              !absl::EndsWith(root, "/..");
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", root, "' is not a root: an absolute path of printable characters, at most ", kLongestRoot,
                     ", without '//', '..' and a slash at its end"));
  }
  if (root == global_root || absl::StartsWith(root, absl::StrCat(global_root, "/"))) {
    return absl::InvalidArgumentError(absl::StrCat("'", root, "' lies within the global topology's root"));
  }
  return absl::OkStatus();
}

/// What is there may have been named by others, whose names may begin with '-'.
absl::Status CheckAsked(const std::string& name) {
  absl::Status status = topology::ValidateCellName(name);
  return absl::StartsWith(name, "-") && topology::ValidateCellName(absl::StrCat("x", name.substr(1))).ok()
             ? absl::OkStatus()
             : status;
}

bool Within(const std::string& root, const std::string& other) {
  return root == other || absl::StartsWith(root, absl::StrCat(other, "/"));
}

absl::Status Overlap(const clustermetadata::Cell& cell, const std::string& whose, const std::string& root) {
  const std::string how = cell.root() == root         ? "is"
                          : Within(cell.root(), root) ? absl::StrCat("lies within ", root, ",")
                                                      : absl::StrCat("encloses ", root, ",");
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("'", cell.root(), "' ", how, " the root of ", whose,
                                " in the same etcd: what is kept there would mix"),
                   {.reason = "INVALID_ARGUMENT", .hint = "choose another --root, or leave it out"});
}

absl::Status Conflict(const std::string& name) {
  return MakeError(absl::StatusCode::kAborted, absl::StrCat("cell '", name, "' was changed by somebody else"),
                   {.reason = "VERSION_CHANGED", .hint = "read it again, and decide anew"});
}

v1::Cell Describe(const TopologyView& view, const CellView& cell) {
  v1::Cell result;
  *result.mutable_cell() = *cell.cell;
  result.set_version(cell.version);
  result.set_poolers(static_cast<int>(cell.poolers.size()));
  for (const auto& pooler : cell.poolers) {
    if (pooler->lifecycle_status().status() == clustermetadata::LIFECYCLE_SHUTDOWN) {
      result.set_stopped_poolers(result.stopped_poolers() + 1);
    }
  }
  result.set_gateways(static_cast<int>(cell.gateways.size()));
  result.set_orchs(static_cast<int>(cell.orchs.size()));
  result.set_unreadable(std::string(cell.readable.message()));
  for (const auto& [name, database] : view.databases) {
    const auto& cells = database.database->cells();
    if (std::find(cells.begin(), cells.end(), cell.cell->name()) != cells.end()) {
      result.add_databases(name);
    }
  }
  return result;
}

std::string Some(const std::vector<std::string>& labels) {
  size_t shown = std::min<size_t>(labels.size(), 5);
  return absl::StrCat(absl::StrJoin(labels.begin(), labels.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                      labels.size() > shown ? absl::StrCat(" and ", labels.size() - shown, " more") : "");
}

}  // namespace

absl::Status CompleteCell(const TopologyCache& cache, clustermetadata::Cell* cell) {
  if (cell->server_addresses().empty()) {
    cell->mutable_server_addresses()->Add(cache.servers().begin(), cache.servers().end());
  }
  if (cell->server_addresses_size() > kMaxAddresses) {
    return absl::InvalidArgumentError(absl::StrCat("a cell has at most ", kMaxAddresses, " addresses"));
  }
  for (const std::string& address : cell->server_addresses()) {
    MG_RETURN_IF_ERROR(CheckAddress(address));
  }
  if (cell->root().empty()) {
    std::string parent = cache.root().substr(0, cache.root().rfind('/'));
    cell->set_root(absl::StrCat(parent, "/", cell->name()));
  }
  return CheckRoot(cell->root(), cache.root());
}

bool Cells::SameEtcd(const Addresses& some, const Addresses& others, absl::Time deadline) {
  if (std::find_first_of(some.begin(), some.end(), others.begin(), others.end()) != some.end()) {
    return true;
  }
  // An etcd has many names: what it says of itself, and what lies in it, tells more than how it is called.
  deadline = std::min(deadline, absl::Now() + kIntroduction);
  const std::string cells = absl::StrCat(cache_->root(), "/cells/");
  auto read = [&](const Addresses& addresses) {
    return cache_->ClientAt(addresses)->GetPrefix(cells, /*keys_only=*/true, deadline);
  };
  absl::StatusOr<etcd::RangeResult> one = read(some);
  absl::StatusOr<etcd::RangeResult> other = one.ok() ? read(others) : one;
  return one.ok() && other.ok() && one->cluster_id == other->cluster_id &&
         std::equal(one->entries.begin(), one->entries.end(), other->entries.begin(), other->entries.end(),
                    [](const etcd::KeyValue& a, const etcd::KeyValue& b) {
                      return a.key == b.key && a.mod_revision == b.mod_revision;
                    });
}

absl::Status Cells::CheckApart(const TopologyView& view, const clustermetadata::Cell& cell, absl::Time deadline) {
  auto addresses = [](const clustermetadata::Cell& of) {
    return Addresses(of.server_addresses().begin(), of.server_addresses().end());
  };
  auto meets = [&](const std::string& root) { return Within(cell.root(), root) || Within(root, cell.root()); };
  if (meets(cache_->root()) && SameEtcd(cache_->servers(), addresses(cell), deadline)) {
    return Overlap(cell, "the global topology", cache_->root());
  }
  for (const auto& [name, other] : view.cells) {
    if (name != cell.name() && meets(other.cell->root()) &&
        SameEtcd(addresses(*other.cell), addresses(cell), deadline)) {
      return Overlap(cell, absl::StrCat("cell ", name), other.cell->root());
    }
  }
  return absl::OkStatus();
}

std::string Cells::Key(const std::string& name) const { return absl::StrCat(cache_->root(), "/cells/", name, "/Cell"); }

absl::StatusOr<Cells::Stored> Cells::Read(const std::string& name, std::int64_t wanted_version, absl::Time deadline) {
  MG_RETURN_IF_ERROR(CheckAsked(name));
  absl::StatusOr<etcd::KeyValue> kv = cache_->global()->Get(Key(name), deadline);
  if (absl::IsNotFound(kv.status())) {
    return absl::NotFoundError(absl::StrCat("cell '", name, "' not found"));
  }
  MG_RETURN_IF_ERROR(kv.status());
  Stored stored{.record = {}, .version = kv->mod_revision};
  if (!stored.record.ParseFromString(kv->value)) {
    return absl::DataLossError(absl::StrCat("the record of cell '", name, "' cannot be decoded"));
  }
  if (wanted_version != 0 && wanted_version != stored.version) {
    return Conflict(name);
  }
  return stored;
}

absl::StatusOr<v1::ListCellsResponse> Cells::List(absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  v1::ListCellsResponse response;
  for (const auto& [name, cell] : view->cells) {
    *response.add_cells() = Describe(*view, cell);
  }
  return response;
}

absl::StatusOr<v1::GetCellResponse> Cells::Get(const std::string& name, absl::Time deadline) {
  MG_RETURN_IF_ERROR(CheckAsked(name));
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  auto cell = view->cells.find(name);
  if (cell == view->cells.end()) {
    return absl::NotFoundError(absl::StrCat("cell '", name, "' not found"));
  }
  v1::GetCellResponse response;
  *response.mutable_cell() = Describe(*view, cell->second);
  return response;
}

absl::StatusOr<v1::CreateCellResponse> Cells::Create(const v1::CreateCellRequest& request, absl::Time deadline) {
  clustermetadata::Cell cell = request.cell();
  MG_RETURN_IF_ERROR(topology::ValidateCellName(cell.name()));
  MG_RETURN_IF_ERROR(CompleteCell(*cache_, &cell));
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  MG_RETURN_IF_ERROR(CheckApart(*view, cell, deadline));
  absl::StatusOr<std::int64_t> version = cache_->global()->Create(Key(cell.name()), cell.SerializeAsString(), deadline);
  if (absl::IsAlreadyExists(version.status())) {
    return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat("there is a cell '", cell.name(), "'"),
                     {.reason = "CELL_EXISTS", .hint = "multigres topology cell update changes it"});
  }
  MG_RETURN_IF_ERROR(version.status());
  cache_->AwaitGlobal(*version, deadline);
  v1::CreateCellResponse response;
  // Whoever makes a cell may start its etcd afterwards; whoever mistyped its address should hear of it.
  if (absl::Status answers = Inhabit(cell, /*forget_silent=*/false, deadline).status(); absl::IsUnavailable(answers)) {
    response.set_warning(std::string(answers.message()));
  }
  *response.mutable_cell()->mutable_cell() = std::move(cell);
  response.mutable_cell()->set_version(*version);
  return response;
}

absl::StatusOr<v1::UpdateCellResponse> Cells::Update(const v1::UpdateCellRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Stored stored, Read(request.cell().name(), request.version(), deadline));
  // The record that is there, so that fields that this program does not know are kept.
  clustermetadata::Cell cell = stored.record;
  if (!request.cell().server_addresses().empty()) {
    *cell.mutable_server_addresses() = request.cell().server_addresses();
  }
  if (!request.cell().root().empty()) {
    cell.set_root(request.cell().root());
  }
  MG_RETURN_IF_ERROR(CompleteCell(*cache_, &cell));
  bool moved = cell.SerializeAsString() != stored.record.SerializeAsString();
  if (moved) {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
    MG_RETURN_IF_ERROR(CheckApart(*view, cell, deadline));
  }
  if (moved && !request.force()) {
    MG_ASSIGN_OR_RETURN(Inhabitants inhabitants, Inhabit(stored.record, /*forget_silent=*/false, deadline));
    if (!inhabitants.living.empty()) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition,
          absl::StrCat("cell '", cell.name(), "' is not empty: ", Some(inhabitants.living),
                       " are registered below its present root"),
          {.reason = "CELL_NOT_EMPTY", .hint = "stop them first, or force it and start them anew afterwards"});
    }
  }
  absl::StatusOr<std::int64_t> version = stored.version;
  if (moved) {
    version = cache_->global()->PutIf(Key(cell.name()), cell.SerializeAsString(), stored.version, deadline);
    if (absl::IsAborted(version.status())) {
      return Conflict(cell.name());
    }
    MG_RETURN_IF_ERROR(version.status());
    cache_->AwaitGlobal(*version, deadline);
  }
  v1::UpdateCellResponse response;
  *response.mutable_cell()->mutable_cell() = std::move(cell);
  response.mutable_cell()->set_version(*version);
  return response;
}

}  // namespace mg::multiadmin
