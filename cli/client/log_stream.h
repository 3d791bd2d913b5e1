/// Reading TailLogs without a copy of its text. Private to cli/client.
#pragma once

#include <memory>

#include "cli/client/agent_client.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace mg::cli {

/// Makes the call and gives its messages until its end, or until the reader has enough (then it is OK); blocks.
/// `context` may be cancelled from any thread.
grpc::Status ReadLogs(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* context,
                      const agent::TailLogsRequest& request, const AgentClient::LogReader& reader);

}  // namespace mg::cli
