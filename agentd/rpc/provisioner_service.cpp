#include "agentd/rpc/provisioner_service.h"

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/version/version.h"

namespace mg::rpc {
namespace {

constexpr absl::Duration kStatusBound = absl::Seconds(10);

}  // namespace

template <typename Request, typename Act>
ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::Run(const Request& request, std::string kind,
                                                                     std::string subject, Act act) {
  auto [stream, reactor] = PullStream<provisioner::ProvisionProgress>::Make();
  domain_.workers.Run([this, stream = stream, request, kind = std::move(kind), subject = std::move(subject), act] {
    absl::StatusOr<provisioners::Provisioner::ClusterInfo> info = domain_.provisioner.Resolve(request.cluster());
    if (!info.ok()) {
      return stream->End(info.status());
    }
    auto operation = domain_.registry.Begin(
        {.kind = kind,
         .cluster = info->name,
         .key = info->root_dir,
         .subject = subject,
         .options = request.options(),
         .body = [this, request, act](provisioners::OperationContext& context) -> absl::StatusOr<bool> {
           return act(domain_.provisioner, request, context);
         }});
    if (!operation.ok()) {
      return stream->End(operation.status());
    }
    Follow(stream, *std::move(operation), 0,
           [](const agent::OperationEvent& event, provisioner::ProvisionProgress* out) { *out = event.progress(); });
  });
  return reactor;
}

grpc::ServerUnaryReactor* ProvisionerServiceImpl::GetProvisionerInfo(
    grpc::CallbackServerContext* context, const provisioner::GetProvisionerInfoRequest*,
    provisioner::GetProvisionerInfoResponse* response) {
  response->set_flavour(domain_.provisioner.flavour());
  response->set_version(kVersion);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* ProvisionerServiceImpl::ValidateCluster(grpc::CallbackServerContext* context,
                                                                  const provisioner::ValidateClusterRequest* request,
                                                                  provisioner::ValidateClusterResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    MG_ASSIGN_OR_RETURN(*response, domain_.provisioner.Validate(*request));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ProvisionerServiceImpl::PlanCluster(grpc::CallbackServerContext* context,
                                                              const provisioner::PlanClusterRequest* request,
                                                              provisioner::PlanClusterResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    MG_ASSIGN_OR_RETURN(*response, domain_.provisioner.Plan(*request));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ProvisionerServiceImpl::GetClusterStatus(grpc::CallbackServerContext* context,
                                                                   const provisioner::GetClusterStatusRequest* request,
                                                                   provisioner::GetClusterStatusResponse* response) {
  return Answer(domain_.workers, context, [this, deadline = DeadlineOf(*context, kStatusBound), request, response] {
    MG_ASSIGN_OR_RETURN(*response->mutable_status(), domain_.provisioner.Status(*request, deadline));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ProvisionerServiceImpl::ListClusterData(grpc::CallbackServerContext* context,
                                                                  const provisioner::ListClusterDataRequest* request,
                                                                  provisioner::ListClusterDataResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    MG_ASSIGN_OR_RETURN(*response, domain_.provisioner.ListData(*request));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ProvisionerServiceImpl::ListDatabaseData(grpc::CallbackServerContext* context,
                                                                   const provisioner::ListDatabaseDataRequest* request,
                                                                   provisioner::ListDatabaseDataResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    MG_ASSIGN_OR_RETURN(*response, domain_.provisioner.ListDatabaseData(*request));
    return absl::OkStatus();
  });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::BootstrapCluster(
    grpc::CallbackServerContext*, const provisioner::BootstrapClusterRequest* request) {
  return Run(*request, "bootstrap", "",
             [](auto& flavour, const auto& wanted, auto& context) { return flavour.Bootstrap(wanted, context); });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::ProvisionDatabase(
    grpc::CallbackServerContext*, const provisioner::ProvisionDatabaseRequest* request) {
  return Run(*request, "provision-database", request->database(), [](auto& flavour, const auto& wanted, auto& context) {
    return flavour.ProvisionDatabase(wanted, context);
  });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::DeprovisionDatabase(
    grpc::CallbackServerContext*, const provisioner::DeprovisionDatabaseRequest* request) {
  return Run(*request, "deprovision-database", absl::StrCat(request->database(), request->clean() ? " clean" : ""),
             [](auto& flavour, const auto& wanted, auto& context) -> absl::StatusOr<bool> {
               MG_RETURN_IF_ERROR(flavour.DeprovisionDatabase(wanted, context));
               return false;
             });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::ProvisionComponent(
    grpc::CallbackServerContext*, const provisioner::ProvisionComponentRequest* request) {
  return Run(*request, "start", request->component(), [](auto& flavour, const auto& wanted, auto& context) {
    return flavour.ProvisionComponent(wanted, context);
  });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::DeprovisionComponent(
    grpc::CallbackServerContext*, const provisioner::DeprovisionComponentRequest* request) {
  return Run(*request, "stop", request->component(), [](auto& flavour, const auto& wanted, auto& context) {
    return flavour.DeprovisionComponent(wanted, context);
  });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::TeardownCluster(
    grpc::CallbackServerContext*, const provisioner::TeardownClusterRequest* request) {
  return Run(*request, "down", request->clean() ? "clean" : "",
             [](auto& flavour, const auto& wanted, auto& context) { return flavour.Teardown(wanted, context); });
}

ProvisionerServiceImpl::ProgressReactor* ProvisionerServiceImpl::InjectFault(
    grpc::CallbackServerContext*, const provisioner::InjectFaultRequest* request) {
  return Run(*request, "chaos", request->target(),
             [](auto& flavour, const auto& wanted, auto& context) -> absl::StatusOr<bool> {
               MG_RETURN_IF_ERROR(flavour.InjectFault(wanted, context));
               return false;
             });
}

}  // namespace mg::rpc
