#include "components/multiadmin/admin.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multiadmin/pooler_statuses.h"

namespace mg::multiadmin {
namespace {

constexpr size_t kMaxManagers = 1000;

/// A record that is not there, or that cannot be read.
absl::Status Absent(const TopologyView& view, const std::string& key, const std::string& what) {
  for (const std::string& broken : view.broken) {
    if (absl::EndsWith(broken, key)) {
      return absl::InternalError(absl::StrCat("failed to read ", what, ": its record cannot be decoded"));
    }
  }
  return absl::NotFoundError(absl::StrCat(what, " not found"));
}

// Whatever it failed with, as upstream does.
absl::Status AsUnavailable(const absl::Status& status) {
  return absl::IsUnavailable(status) ? status : absl::UnavailableError(status.message());
}

}  // namespace

absl::StatusOr<pb::GetCellResponse> Admin::GetCell(const pb::GetCellRequest& request, absl::Time deadline) {
  if (request.name().empty()) {
    return absl::InvalidArgumentError("cell name cannot be empty");
  }
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  auto cell = view->cells.find(request.name());
  if (cell == view->cells.end()) {
    return Absent(*view, absl::StrCat("/cells/", request.name(), "/Cell"), absl::StrCat("cell '", request.name(), "'"));
  }
  pb::GetCellResponse response;
  *response.mutable_cell() = *cell->second.cell;
  return response;
}

absl::StatusOr<pb::GetCellNamesResponse> Admin::GetCellNames(absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  pb::GetCellNamesResponse response;
  for (const auto& [name, cell] : view->cells) {
    response.add_names(name);
  }
  return response;
}

absl::StatusOr<pb::GetDatabaseResponse> Admin::GetDatabase(const pb::GetDatabaseRequest& request, absl::Time deadline) {
  if (request.name().empty()) {
    return absl::InvalidArgumentError("database name cannot be empty");
  }
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  auto database = view->databases.find(request.name());
  if (database == view->databases.end()) {
    return Absent(*view, absl::StrCat("/databases/", request.name(), "/Database"),
                  absl::StrCat("database '", request.name(), "'"));
  }
  pb::GetDatabaseResponse response;
  *response.mutable_database() = *database->second.database;
  return response;
}

absl::StatusOr<pb::GetDatabaseNamesResponse> Admin::GetDatabaseNames(absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  pb::GetDatabaseNamesResponse response;
  for (const auto& [name, database] : view->databases) {
    response.add_names(name);
  }
  return response;
}

template <typename Record, typename Keep>
absl::Status Admin::EveryCell(const google::protobuf::RepeatedPtrField<std::string>& wanted, absl::Time deadline,
                              CellErrors* errors, Records<Record> CellView::*list, Keep keep,
                              google::protobuf::RepeatedPtrField<Record>* out) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  auto add = [&](const std::string& name, const CellView& cell) {
    if (!cell.readable.ok()) {
      errors->emplace_back(name, std::string(cell.readable.message()));
      return;
    }
    for (const auto& record : cell.*list) {
      if (keep(*record)) {
        *out->Add() = *record;
      }
    }
  };
  for (const std::string& name : wanted) {
    if (auto cell = view->cells.find(name); cell != view->cells.end()) {
      add(name, cell->second);
    } else {
      errors->emplace_back(name, "there is no such cell");
    }
  }
  for (const auto& [name, cell] : view->cells) {
    if (wanted.empty()) {
      add(name, cell);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::GetGatewaysResponse> Admin::GetGateways(const pb::GetGatewaysRequest& request, absl::Time deadline,
                                                           CellErrors* errors) {
  pb::GetGatewaysResponse response;
  MG_RETURN_IF_ERROR(EveryCell(
      request.cells(), deadline, errors, &CellView::gateways, [](const auto&) { return true; },
      response.mutable_gateways()));
  return response;
}

absl::StatusOr<pb::GetPoolersResponse> Admin::GetPoolers(const pb::GetPoolersRequest& request, absl::Time deadline,
                                                         CellErrors* errors) {
  auto keep = [&](const clustermetadata::Multipooler& pooler) {
    // A shard without a database is ignored, as upstream does.
    bool database = request.database().empty() || pooler.shard_key().database() == request.database();
    bool shard = request.database().empty() || request.shard().empty() || pooler.shard_key().shard() == request.shard();
    return database && shard;
  };
  pb::GetPoolersResponse response;
  MG_RETURN_IF_ERROR(
      EveryCell(request.cells(), deadline, errors, &CellView::poolers, keep, response.mutable_poolers()));
  return response;
}

absl::StatusOr<pb::GetOrchsResponse> Admin::GetOrchs(const pb::GetOrchsRequest& request, absl::Time deadline,
                                                     CellErrors* errors) {
  pb::GetOrchsResponse response;
  MG_RETURN_IF_ERROR(EveryCell(
      request.cells(), deadline, errors, &CellView::orchs, [](const auto&) { return true; }, response.mutable_orchs()));
  return response;
}

absl::StatusOr<std::shared_ptr<const clustermetadata::Multipooler>> Admin::FindPooler(const clustermetadata::ID& id,
                                                                                      absl::Time deadline) {
  if (id.cell().empty() || id.name().empty()) {
    return absl::InvalidArgumentError("pooler_id with cell and name is required");
  }
  std::string label = absl::StrCat("pooler '", id.cell(), "/", id.name(), "'");
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache_->Get(deadline));
  auto cell = view->cells.find(id.cell());
  if (cell != view->cells.end()) {
    for (const auto& pooler : cell->second.poolers) {
      if (pooler->id().name() == id.name()) {
        return pooler;
      }
    }
    if (!cell->second.readable.ok()) {
      return absl::UnavailableError(absl::StrCat("failed to read ", label, ": ", cell->second.readable.message()));
    }
  }
  return absl::NotFoundError(absl::StrCat(label, " not found"));
}

absl::StatusOr<std::shared_ptr<multipoolermanager::MultipoolerManager::Stub>> Admin::Manager(
    const clustermetadata::ID& id, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const clustermetadata::Multipooler> pooler, FindPooler(id, deadline));
  auto address = topology::AddressOf(*pooler, "grpc");
  if (!address.ok()) {
    return absl::InternalError(absl::StrCat("pooler '", id.cell(), "/", id.name(), "': ", address.status().message()));
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

absl::StatusOr<pb::GetPoolerStatusResponse> Admin::GetPoolerStatus(const pb::GetPoolerStatusRequest& request,
                                                                   absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(auto manager, Manager(request.pooler_id(), deadline));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, EndOfPatience(deadline));
  multipoolermanagerdata::StatusResponse status;
  if (grpc::Status called = manager->Status(&context, {}, &status); !called.ok()) {
    return AsUnavailable(PoolerFailed("get status of", request.pooler_id(), called));
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
  rpc::SetDeadline(&context, EndOfPatience(deadline));
  multipoolermanagerdata::SetPostgresRestartsEnabledRequest forwarded;
  forwarded.set_enabled(request.enabled());
  multipoolermanagerdata::SetPostgresRestartsEnabledResponse response;
  if (grpc::Status called = manager->SetPostgresRestartsEnabled(&context, forwarded, &response); !called.ok()) {
    return AsUnavailable(PoolerFailed("tell", request.pooler_id(), called));
  }
  return pb::SetPostgresRestartsEnabledResponse();
}

}  // namespace mg::multiadmin
