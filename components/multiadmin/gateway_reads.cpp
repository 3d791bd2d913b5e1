// What a gateway's own manager knows: queries and prepared statements. Asked of it each time.
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/pooler_statuses.h"
#include "multigatewaymanagerservice.grpc.pb.h"

namespace mg::multiadmin {
namespace {

using Manager = multigatewaymanager::MultigatewayManager;

std::string Label(const clustermetadata::ID& id) { return absl::StrCat("gateway '", id.cell(), "/", id.name(), "'"); }

/// Where the gateway's manager is. INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, FAILED_PRECONDITION as the contract has
/// them.
absl::StatusOr<std::string> AddressOfManager(TopologyCache* cache, const clustermetadata::ID& id, absl::Time deadline) {
  if (id.cell().empty() || id.name().empty()) {
    return absl::InvalidArgumentError("gateway_id with cell and name is required");
  }
  MG_ASSIGN_OR_RETURN(std::shared_ptr<const TopologyView> view, cache->Get(deadline));
  auto cell = view->cells.find(id.cell());
  if (cell == view->cells.end()) {
    return absl::NotFoundError(absl::StrCat(Label(id), " not found"));
  }
  for (const auto& gateway : cell->second.gateways) {
    if (gateway->id().name() == id.name()) {
      absl::StatusOr<std::string> address = topology::AddressOf(*gateway, "grpc");
      return address.ok() ? address : absl::FailedPreconditionError(absl::StrCat(Label(id), " has no gRPC port"));
    }
  }
  MG_RETURN_IF_ERROR(WithContext(cell->second.readable, Label(id)));
  return absl::NotFoundError(absl::StrCat(Label(id), " not found"));
}

absl::Status Failed(const clustermetadata::ID& id, const grpc::Status& called) {
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat(Label(id), " does not answer: ", called.error_message()), {.reason = "GATEWAY_SILENT"});
}

}  // namespace

absl::StatusOr<pb::GetGatewayQueriesResponse> Admin::GetGatewayQueries(const pb::GetGatewayQueriesRequest& request,
                                                                       absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::string address, AddressOfManager(cache_, request.gateway_id(), deadline));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, EndOfPatience(deadline));
  multigatewaymanager::GetQueryRegistryRequest question;
  question.set_limit(request.limit());
  question.set_min_calls(request.min_calls());
  multigatewaymanager::GetQueryRegistryResponse answer;
  grpc::Status called = Manager::NewStub(dialer_.Dial(address))->GetQueryRegistry(&context, question, &answer);
  if (!called.ok()) {
    return Failed(request.gateway_id(), called);
  }
  pb::GetGatewayQueriesResponse response;
  *response.mutable_snapshot() = std::move(*answer.mutable_snapshot());
  return response;
}

absl::StatusOr<pb::GetGatewayConsolidatorResponse> Admin::GetGatewayConsolidator(
    const pb::GetGatewayConsolidatorRequest& request, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::string address, AddressOfManager(cache_, request.gateway_id(), deadline));
  grpc::ClientContext context;
  rpc::SetDeadline(&context, EndOfPatience(deadline));
  multigatewaymanager::GetConsolidatorStatsResponse answer;
  grpc::Status called = Manager::NewStub(dialer_.Dial(address))->GetConsolidatorStats(&context, {}, &answer);
  if (!called.ok()) {
    return Failed(request.gateway_id(), called);
  }
  pb::GetGatewayConsolidatorResponse response;
  *response.mutable_stats() = std::move(*answer.mutable_stats());
  return response;
}

}  // namespace mg::multiadmin
