/// Calls of the Admin API through the agent, which forwards them to the chosen cluster. For commands' .cpp files.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/context.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::cli {

/// One unary call; `limit` where --timeout says nothing else. Service is the class that gRPC makes for a service.
template <typename Service, typename Request, typename Response>
absl::Status CallAdmin(Context& context,
                       grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                       const Request& request, Response* response, absl::Duration limit = absl::Seconds(10)) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(limit));
  grpc::ClientContext rpc;
  rpc::SetDeadline(&rpc, deadline);
  SelectCluster(&rpc, context.Selector());
  std::unique_ptr<typename Service::Stub> stub = Service::NewStub(client->channel());
  return rpc::FromGrpc((stub.get()->*method)(&rpc, request, response));
}

}  // namespace mg::cli
