#include "components/multiadmin/admin.h"

#include <grpcpp/grpcpp.h>

#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

constexpr size_t kMaxManagers = 100;
constexpr absl::Duration kCellLimit = absl::Seconds(3);

/// NotFound stays; an etcd that is away stays UNAVAILABLE, which tells a caller more than upstream's Internal; the rest
/// is Internal.
absl::Status FromTopology(const absl::Status& status, const std::string& what) {
  if (absl::IsNotFound(status)) {
    return absl::NotFoundError(absl::StrCat(what, " not found"));
  }
  bool away = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  return absl::Status(away ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal,
                      absl::StrCat("failed to read ", what, ": ", status.message()));
}

/// Cell names and reasons come from callers and other programs; a header may only have printable ASCII.
std::string Printable(std::string text) {
  for (char& c : text) {
    c = c >= 0x20 && c < 0x7f ? c : '?';
  }
  return text;
}

}  // namespace

std::string ErrorsText(const CellErrors& errors) {
  return Printable(absl::StrJoin(errors, "; ", [](std::string* out, const auto& error) {
    absl::StrAppend(out, error.first, ": ", error.second);
  }));
}

std::string ErrorCells(const CellErrors& errors) {
  return Printable(
      absl::StrJoin(errors, ",", [](std::string* out, const auto& error) { absl::StrAppend(out, error.first); }));
}

absl::StatusOr<pb::GetCellResponse> Admin::GetCell(const pb::GetCellRequest& request, absl::Time deadline) {
  if (request.name().empty()) {
    return absl::InvalidArgumentError("cell name cannot be empty");
  }
  auto cell = topology_->GetCell(request.name(), deadline);
  if (!cell.ok()) {
    return FromTopology(cell.status(), absl::StrCat("cell '", request.name(), "'"));
  }
  pb::GetCellResponse response;
  *response.mutable_cell() = cell->record;
  return response;
}

absl::StatusOr<pb::GetCellNamesResponse> Admin::GetCellNames(absl::Time deadline) {
  auto names = topology_->CellNames(deadline);
  if (!names.ok()) {
    return FromTopology(names.status(), "cell names");
  }
  pb::GetCellNamesResponse response;
  response.mutable_names()->Add(names->begin(), names->end());
  return response;
}

absl::StatusOr<pb::GetDatabaseResponse> Admin::GetDatabase(const pb::GetDatabaseRequest& request, absl::Time deadline) {
  if (request.name().empty()) {
    return absl::InvalidArgumentError("database name cannot be empty");
  }
  auto database = topology_->GetDatabase(request.name(), deadline);
  if (!database.ok()) {
    return FromTopology(database.status(), absl::StrCat("database '", request.name(), "'"));
  }
  pb::GetDatabaseResponse response;
  *response.mutable_database() = database->record;
  return response;
}

absl::StatusOr<pb::GetDatabaseNamesResponse> Admin::GetDatabaseNames(absl::Time deadline) {
  auto names = topology_->DatabaseNames(deadline);
  if (!names.ok()) {
    return FromTopology(names.status(), "database names");
  }
  pb::GetDatabaseNamesResponse response;
  response.mutable_names()->Add(names->begin(), names->end());
  return response;
}

absl::StatusOr<std::vector<std::string>> Admin::Cells(const google::protobuf::RepeatedPtrField<std::string>& wanted,
                                                      absl::Time deadline) {
  if (!wanted.empty()) {
    return std::vector<std::string>(wanted.begin(), wanted.end());
  }
  auto names = topology_->CellNames(deadline);
  if (!names.ok()) {
    return FromTopology(names.status(), "cell names");
  }
  return names;
}

template <typename Record>
absl::StatusOr<std::vector<Record>> Admin::EveryCell(
    const google::protobuf::RepeatedPtrField<std::string>& wanted, absl::Time deadline, CellErrors* errors,
    absl::StatusOr<std::vector<Record>> (topology::Topology::*list)(const std::string&, absl::Time)) {
  MG_ASSIGN_OR_RETURN(std::vector<std::string> cells, Cells(wanted, deadline));
  absl::Time now = absl::Now();
  absl::Time limit = now + std::min(kCellLimit, (deadline - now) * 0.8);
  std::vector<absl::StatusOr<std::vector<Record>>> answers(cells.size(), absl::UnknownError("not read"));
  std::vector<std::thread> readers;
  readers.reserve(cells.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    readers.emplace_back([&, i] { answers[i] = (topology_->*list)(cells[i], limit); });
  }
  for (std::thread& reader : readers) {
    reader.join();
  }
  std::vector<Record> all;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (answers[i].ok()) {
      all.insert(all.end(), std::make_move_iterator(answers[i]->begin()), std::make_move_iterator(answers[i]->end()));
    } else {
      errors->emplace_back(cells[i], std::string(answers[i].status().message()));
    }
  }
  return all;
}

absl::StatusOr<pb::GetGatewaysResponse> Admin::GetGateways(const pb::GetGatewaysRequest& request, absl::Time deadline,
                                                           CellErrors* errors) {
  MG_ASSIGN_OR_RETURN(auto gateways, EveryCell(request.cells(), deadline, errors, &topology::Topology::Gateways));
  pb::GetGatewaysResponse response;
  response.mutable_gateways()->Add(gateways.begin(), gateways.end());
  return response;
}

absl::StatusOr<pb::GetPoolersResponse> Admin::GetPoolers(const pb::GetPoolersRequest& request, absl::Time deadline,
                                                         CellErrors* errors) {
  MG_ASSIGN_OR_RETURN(auto poolers, EveryCell(request.cells(), deadline, errors, &topology::Topology::Poolers));
  pb::GetPoolersResponse response;
  for (const clustermetadata::Multipooler& pooler : poolers) {
    // A shard without a database is ignored, as upstream does.
    bool database = request.database().empty() || pooler.shard_key().database() == request.database();
    bool shard = request.database().empty() || request.shard().empty() || pooler.shard_key().shard() == request.shard();
    if (database && shard) {
      *response.add_poolers() = pooler;
    }
  }
  return response;
}

absl::StatusOr<pb::GetOrchsResponse> Admin::GetOrchs(const pb::GetOrchsRequest& request, absl::Time deadline,
                                                     CellErrors* errors) {
  MG_ASSIGN_OR_RETURN(auto orchs, EveryCell(request.cells(), deadline, errors, &topology::Topology::Orchs));
  pb::GetOrchsResponse response;
  response.mutable_orchs()->Add(orchs.begin(), orchs.end());
  return response;
}

absl::StatusOr<std::shared_ptr<multipoolermanager::MultipoolerManager::Stub>> Admin::Manager(
    const clustermetadata::ID& id, absl::Time deadline) {
  if (id.cell().empty() || id.name().empty()) {
    return absl::InvalidArgumentError("pooler_id with cell and name is required");
  }
  std::string label = absl::StrCat("pooler '", id.cell(), "/", id.name(), "'");
  auto poolers = topology_->Poolers(id.cell(), deadline);
  if (!poolers.ok()) {
    return FromTopology(poolers.status(), label);
  }
  for (const auto& pooler : *poolers) {
    if (pooler.id().name() != id.name()) {
      continue;
    }
    auto address = topology::AddressOf(pooler, "grpc");
    if (!address.ok()) {
      return absl::InternalError(absl::StrCat(label, ": ", address.status().message()));
    }
    std::lock_guard lock(mutex_);
    if (managers_.size() >= kMaxManagers) {
      managers_.clear();
    }
    auto& stub = managers_[*address];
    if (stub == nullptr) {
      stub = multipoolermanager::MultipoolerManager::NewStub(dialer_.Dial(*address));
    }
    return stub;
  }
  return absl::NotFoundError(absl::StrCat(label, " not found"));
}

absl::StatusOr<pb::GetPoolerStatusResponse> Admin::GetPoolerStatus(const pb::GetPoolerStatusRequest& request,
                                                                   absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(auto manager, Manager(request.pooler_id(), deadline));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  multipoolermanagerdata::StatusResponse status;
  if (grpc::Status called = manager->Status(&context, {}, &status); !called.ok()) {
    return absl::UnavailableError(absl::StrCat("failed to get status of pooler '", request.pooler_id().cell(), "/",
                                               request.pooler_id().name(), "': ", called.error_message()));
  }
  pb::GetPoolerStatusResponse response;
  *response.mutable_status() = status.status();
  *response.mutable_consensus_status() = status.consensus_status();
  return response;
}

absl::StatusOr<pb::SetPostgresRestartsEnabledResponse> Admin::SetRestarts(
    const pb::SetPostgresRestartsEnabledRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(auto manager, Manager(request.pooler_id(), deadline));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  multipoolermanagerdata::SetPostgresRestartsEnabledRequest forwarded;
  forwarded.set_enabled(request.enabled());
  multipoolermanagerdata::SetPostgresRestartsEnabledResponse response;
  if (grpc::Status called = manager->SetPostgresRestartsEnabled(&context, forwarded, &response); !called.ok()) {
    return absl::UnavailableError(absl::StrCat("failed to tell pooler '", request.pooler_id().cell(), "/",
                                               request.pooler_id().name(), "': ", called.error_message()));
  }
  return pb::SetPostgresRestartsEnabledResponse();
}

}  // namespace mg::multiadmin
