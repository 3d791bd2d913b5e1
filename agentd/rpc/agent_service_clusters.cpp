#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "agentd/rpc/agent_service.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

constexpr absl::Duration kStatusBound = absl::Seconds(10);

/// A value of a libpq connection string.
std::string Quote(const std::string& value) {
  bool plain = !value.empty() && value.find_first_of(" '\\\t\n") == std::string::npos;
  return plain ? value : absl::StrCat("'", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

}  // namespace

absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Duration most) {
  return std::min(absl::FromChrono(context.deadline()), absl::Now() + most);
}

grpc::ServerUnaryReactor* AgentServiceImpl::GetInfo(grpc::CallbackServerContext* context, const agent::GetInfoRequest*,
                                                    agent::GetInfoResponse* response) {
  *response = info_;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* AgentServiceImpl::Shutdown(grpc::CallbackServerContext* context,
                                                     const agent::ShutdownRequest* request,
                                                     agent::ShutdownResponse* response) {
  restarts_ = request->restarts();
  response->set_pid(::getpid());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  domain_.shutdown();
  return reactor;
}

agent::ClusterSummary AgentServiceImpl::Summary(const provisioners::Provisioner::ClusterInfo& info,
                                                absl::Time deadline) {
  agent::ClusterSummary summary;
  summary.set_name(info.name);
  summary.set_cluster_id(info.cluster_id);
  summary.set_root_directory(info.root_dir);
  summary.set_config_file(info.config_file);
  summary.set_cells(info.cells);
  if (info.started_at != absl::InfinitePast()) {
    summary.mutable_started_at()->set_seconds(absl::ToUnixSeconds(info.started_at));
  }
  provisioner::GetClusterStatusRequest request;
  request.mutable_cluster()->set_name(info.name);
  absl::StatusOr<provisioner::ClusterStatus> status = domain_.provisioner.Status(request, deadline);
  if (!status.ok()) {
    summary.set_state("unknown");
    return summary;
  }
  summary.set_state(status->state());
  for (const provisioner::Endpoint& endpoint : status->endpoints()) {
    if (endpoint.kind() == "postgres-rw") {
      summary.add_postgres_ports(endpoint.port());
    }
  }
  return summary;
}

grpc::ServerUnaryReactor* AgentServiceImpl::ListClusters(grpc::CallbackServerContext* context,
                                                         const agent::ListClustersRequest*,
                                                         agent::ListClustersResponse* response) {
  return Answer(domain_.workers, context, [this, deadline = DeadlineOf(*context, kStatusBound), response] {
    for (const auto& info : domain_.provisioner.Clusters()) {
      *response->add_clusters() = Summary(info, deadline);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::ListNames(grpc::CallbackServerContext* context,
                                                      const agent::ListNamesRequest* request,
                                                      agent::ListNamesResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    for (const auto& info : domain_.provisioner.Clusters()) {
      response->add_clusters(info.name);
    }
    // A cluster that nothing is known of has no components, and the others have their names all the same.
    if (auto specs = domain_.provisioner.Specs(request->cluster()); specs.ok()) {
      for (const provisioner::ComponentSpec& spec : *specs) {
        response->add_components(spec.name());
      }
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::GetCluster(grpc::CallbackServerContext* context,
                                                       const agent::GetClusterRequest* request,
                                                       agent::GetClusterResponse* response) {
  return Answer(domain_.workers, context, [this, deadline = DeadlineOf(*context, kStatusBound), request, response] {
    MG_ASSIGN_OR_RETURN(auto info, domain_.provisioner.Resolve(request->cluster()));
    provisioner::GetClusterStatusRequest probe;
    *probe.mutable_cluster() = request->cluster();
    MG_ASSIGN_OR_RETURN(*response->mutable_status(), domain_.provisioner.Status(probe, deadline));
    if (auto operation = domain_.registry.UnderWay(info.root_dir)) {
      const auto& identity = operation->identity();
      provisioner::ClusterStatus* status = response->mutable_status();
      status->set_operation(identity.id);
      if ((identity.kind == "up" || identity.kind == "restart") && status->state() != "running") {
        status->set_state("starting");
      }
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::RegisterCluster(grpc::CallbackServerContext* context,
                                                            const agent::RegisterClusterRequest* request,
                                                            agent::RegisterClusterResponse* response) {
  return Answer(domain_.workers, context, [this, deadline = DeadlineOf(*context, kStatusBound), request, response] {
    MG_ASSIGN_OR_RETURN(auto info, domain_.provisioner.Register(request->cluster(), request->cells()));
    *response->mutable_cluster() = Summary(info, deadline);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::GetConnection(grpc::CallbackServerContext* context,
                                                          const agent::GetConnectionRequest* request,
                                                          agent::GetConnectionResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    MG_ASSIGN_OR_RETURN(auto connection, domain_.provisioner.GetConnection(request->cluster(), request->cell(),
                                                                           request->database(), request->read_only()));
    response->set_host(connection.host);
    response->set_port(connection.port);
    response->set_user(connection.user);
    response->set_database(connection.database);
    response->set_passfile(connection.passfile);
    response->set_psql(connection.psql);
    response->set_conninfo(absl::StrCat("host=", Quote(connection.host), " port=", connection.port,
                                        " user=", Quote(connection.user), " dbname=", Quote(connection.database)));
    if (!connection.passfile.empty()) {
      absl::StrAppend(response->mutable_conninfo(), " passfile=", Quote(connection.passfile));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::PlanUp(grpc::CallbackServerContext* context,
                                                   const agent::PlanUpRequest* request,
                                                   agent::PlanUpResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    provisioner::PlanClusterRequest plan;
    *plan.mutable_cluster() = request->cluster();
    plan.set_cells(request->cells());
    MG_ASSIGN_OR_RETURN(*response->mutable_plan(), domain_.provisioner.Plan(plan));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::PlanClean(grpc::CallbackServerContext* context,
                                                      const agent::PlanCleanRequest* request,
                                                      agent::PlanCleanResponse* response) {
  return Answer(domain_.workers, context, [this, request, response] {
    provisioner::ListClusterDataRequest list;
    *list.mutable_cluster() = request->cluster();
    MG_ASSIGN_OR_RETURN(provisioner::ListClusterDataResponse data, domain_.provisioner.ListData(list));
    response->mutable_entries()->Swap(data.mutable_entries());
    return absl::OkStatus();
  });
}

}  // namespace mg::rpc
