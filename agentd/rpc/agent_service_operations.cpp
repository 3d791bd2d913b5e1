#include "agentd/operations/cluster_operations.h"
#include "agentd/rpc/agent_service.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

constexpr auto kAsItIs = [](const agent::OperationEvent& event, agent::OperationEvent* out) { *out = event; };

}  // namespace

AgentServiceImpl::OperationReactor* AgentServiceImpl::Run(const provisioner::ClusterSelector& cluster, std::string kind,
                                                          std::string subject,
                                                          const provisioner::OperationOptions& options,
                                                          operations::Registry::Body body) {
  auto [stream, reactor] = PullStream<agent::OperationEvent>::Make();
  domain_.workers.Run([this, stream = stream, cluster, kind = std::move(kind), subject = std::move(subject), options,
                       body = std::move(body)] {
    absl::StatusOr<provisioners::Provisioner::ClusterInfo> info = domain_.provisioner.Resolve(cluster);
    if (!info.ok()) {
      return stream->End(info.status());
    }
    absl::StatusOr<std::shared_ptr<operations::Operation>> operation = domain_.registry.Begin({.kind = kind,
                                                                                               .cluster = info->name,
                                                                                               .key = info->root_dir,
                                                                                               .subject = subject,
                                                                                               .options = options,
                                                                                               .body = body});
    if (!operation.ok()) {
      return stream->End(operation.status());
    }
    Follow(stream, *std::move(operation), 0, kAsItIs);
  });
  return reactor;
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::Up(grpc::CallbackServerContext*,
                                                         const agent::UpRequest* request) {
  return Run(request->cluster(), "up", "", request->options(),
             [this, cluster = request->cluster(), cells = request->cells()](provisioners::OperationContext& context) {
               return operations::BringUp(domain_.provisioner, cluster, cells, context);
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::Down(grpc::CallbackServerContext*,
                                                           const agent::DownRequest* request) {
  return Run(request->cluster(), "down", request->clean() ? "clean" : "", request->options(),
             [this, cluster = request->cluster(), clean = request->clean()](provisioners::OperationContext& context) {
               return operations::TakeDown(domain_.provisioner, cluster, clean, context);
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::Restart(grpc::CallbackServerContext*,
                                                              const agent::RestartRequest* request) {
  return Run(request->cluster(), "restart", "", request->options(),
             [this, cluster = request->cluster()](provisioners::OperationContext& context) {
               return operations::Restart(domain_.provisioner, cluster, context);
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::StartComponent(grpc::CallbackServerContext*,
                                                                     const agent::ComponentRequest* request) {
  return Run(request->cluster(), "start", request->component(), request->options(),
             [this, request = *request](provisioners::OperationContext& context) {
               return operations::StartComponent(domain_.provisioner, request.cluster(), request.component(), context);
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::StopComponent(grpc::CallbackServerContext*,
                                                                    const agent::ComponentRequest* request) {
  return Run(request->cluster(), "stop", request->component(), request->options(),
             [this, request = *request](provisioners::OperationContext& context) {
               return operations::StopComponent(domain_.provisioner, request.cluster(), request.component(), context);
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::RestartComponent(grpc::CallbackServerContext*,
                                                                       const agent::ComponentRequest* request) {
  return Run(request->cluster(), "restart", request->component(), request->options(),
             [this, request = *request](provisioners::OperationContext& context) {
               return operations::RestartComponent(domain_.provisioner, request.cluster(), request.component(),
                                                   context);
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::InjectFault(grpc::CallbackServerContext*,
                                                                  const provisioner::InjectFaultRequest* request) {
  return Run(request->cluster(), "chaos", request->target(), request->options(),
             [this, request = *request](provisioners::OperationContext& context) -> absl::StatusOr<bool> {
               MG_RETURN_IF_ERROR(domain_.provisioner.InjectFault(request, context));
               return false;
             });
}

AgentServiceImpl::OperationReactor* AgentServiceImpl::JoinOperation(grpc::CallbackServerContext*,
                                                                    const agent::JoinOperationRequest* request) {
  auto [stream, reactor] = PullStream<agent::OperationEvent>::Make();
  absl::StatusOr<std::shared_ptr<operations::Operation>> operation = domain_.registry.Find(request->operation_id());
  if (operation.ok()) {
    Follow(stream, *std::move(operation), request->after_sequence(), kAsItIs);
  } else {
    stream->End(operation.status());
  }
  return reactor;
}

grpc::ServerUnaryReactor* AgentServiceImpl::ListOperations(grpc::CallbackServerContext* context,
                                                           const agent::ListOperationsRequest* request,
                                                           agent::ListOperationsResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    std::string key;
    if (request->has_cluster()) {
      MG_ASSIGN_OR_RETURN(auto info, domain_.provisioner.Resolve(request->cluster()));
      key = info.root_dir;
    }
    for (const auto& operation : domain_.registry.List(key)) {
      *response->add_operations() = operation->Summary();
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::CancelOperation(grpc::CallbackServerContext* context,
                                                            const agent::CancelOperationRequest* request,
                                                            agent::CancelOperationResponse*) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(domain_.registry.Cancel(request->operation_id())));
  return reactor;
}

}  // namespace mg::rpc
