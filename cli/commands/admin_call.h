/// Calls of the Admin API, through the agent, which forwards them to the chosen cluster, or straight to a remote
/// context's. For commands' .cpp files.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/commands/context.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::cli {

/// One unary call; `limit` where --timeout says nothing else. Service is the class that gRPC makes for a service. Cells
/// that a list could not read are told on stderr, and given in `unreadable`.
template <typename Service, typename Request, typename Response>
absl::Status CallAdmin(Context& context,
                       grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                       const Request& request, Response* response, absl::Duration limit = absl::Seconds(10),
                       std::vector<std::string>* unreadable = nullptr) {
  MG_ASSIGN_OR_RETURN(AdminRoute route, context.Admin());
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(limit));
  grpc::ClientContext rpc;
  rpc::SetDeadline(&rpc, deadline);
  route.prepare(&rpc);
  std::unique_ptr<typename Service::Stub> stub = Service::NewStub(route.channel);
  absl::Status status = route.outcome((stub.get()->*method)(&rpc, request, response));
  if (absl::IsDeadlineExceeded(status) && status.message() == "Deadline Exceeded") {
    // gRPC's own text names no one.
    return MakeError(
        absl::StatusCode::kDeadlineExceeded,
        absl::StrCat("the Admin API did not answer within ", context.args().Get("timeout", text::HumanDuration(limit))),
        {});
  }
  MG_RETURN_IF_ERROR(status);
  const auto& trailer = rpc.GetServerTrailingMetadata();
  auto value = [&](const char* name) {
    auto found = trailer.find(name);
    return found == trailer.end() ? std::string() : std::string(found->second.data(), found->second.size());
  };
  if (std::string cells = value("multigres-partial-cells"); !cells.empty()) {
    context.Warn(absl::StrCat("warning: not every cell could be read: ", value("multigres-partial-errors"), "\n"));
    if (unreadable != nullptr) {
      *unreadable = absl::StrSplit(cells, ',');
    }
  }
  return absl::OkStatus();
}

}  // namespace mg::cli
