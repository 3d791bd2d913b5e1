#include "agentd/provisioners/local/component_rpc.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "common/rpc/rpc.h"
#include "multipoolermanagerservice.grpc.pb.h"
#include "pgctldservice.grpc.pb.h"

namespace mg::local {

namespace {

using multipoolermanager::MultipoolerManager;
using pgctldservice::PgCtld;

template <typename Response>
struct PendingCall {
  grpc::ClientContext context;
  grpc::Status status;
  Response* response = nullptr;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
};

}  // namespace

ComponentRpc::ComponentRpc() = default;
ComponentRpc::~ComponentRpc() = default;

std::shared_ptr<grpc::Channel> ComponentRpc::ChannelTo(int port) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<grpc::Channel>& channel = channels_[port];
  if (channel == nullptr) {
    channel = rpc::DialPlain(absl::StrCat("127.0.0.1:", port));
  }
  return channel;
}

void ComponentRpc::Drop(int port) {
  std::lock_guard lock(mutex_);
  channels_.erase(port);
}

void ComponentRpc::Forget() {
  std::lock_guard lock(mutex_);
  channels_.clear();
}

void ComponentRpc::Ask(std::vector<StatusQuestion>* questions, absl::Time deadline,
                       const std::function<void()>& meanwhile) {
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<PendingCall<pgctldservice::StatusResponse>>> pgctld_calls(questions->size());
  std::vector<std::unique_ptr<PendingCall<multipoolermanagerdata::StatusResponse>>> pooler_calls(questions->size());
  for (size_t i = 0; i < questions->size(); ++i) {
    StatusQuestion& question = (*questions)[i];
    void* tag = reinterpret_cast<void*>(i);  // NOLINT(performance-no-int-to-ptr): a tag is never followed
    std::shared_ptr<grpc::Channel> channel = ChannelTo(question.port);
    if (question.server == StatusQuestion::Server::kPgctld) {
      auto call = std::make_unique<PendingCall<pgctldservice::StatusResponse>>();
      rpc::SetDeadline(&call->context, deadline);
      call->reader = PgCtld::NewStub(channel)->AsyncStatus(&call->context, pgctldservice::StatusRequest(), &queue);
      call->reader->Finish(&question.pgctld, &call->status, tag);
      pgctld_calls[i] = std::move(call);
    } else {
      auto call = std::make_unique<PendingCall<multipoolermanagerdata::StatusResponse>>();
      rpc::SetDeadline(&call->context, deadline);
      call->reader = MultipoolerManager::NewStub(channel)->AsyncStatus(&call->context,
                                                                       multipoolermanagerdata::StatusRequest(), &queue);
      call->reader->Finish(&question.multipooler, &call->status, tag);
      pooler_calls[i] = std::move(call);
    }
  }
  if (meanwhile) {
    meanwhile();
  }
  for (size_t answered = 0; answered < questions->size(); ++answered) {
    void* tag = nullptr;
    bool ok = false;
    if (!queue.Next(&tag, &ok)) {
      break;
    }
    auto i = reinterpret_cast<size_t>(tag);
    StatusQuestion& question = (*questions)[i];
    question.status = rpc::FromGrpc(pgctld_calls[i] != nullptr ? pgctld_calls[i]->status : pooler_calls[i]->status);
    if (pooler_calls[i] != nullptr && question.status.ok()) {
      const auto& beside = pooler_calls[i]->context.GetServerTrailingMetadata();
      if (auto found = beside.find("multigres-archive-fails-at"); found != beside.end()) {
        question.archive_fails_at = std::string(found->second.data(), found->second.size());
      }
    }
    if (absl::IsUnavailable(question.status)) {
      Drop(question.port);
    }
  }
  queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
  }
}

absl::Status ComponentRpc::StopPostgres(int pgctld_port, const std::string& mode, absl::Time deadline) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  pgctldservice::StopRequest request;
  request.set_mode(mode);
  pgctldservice::StopResponse response;
  return rpc::FromGrpc(PgCtld::NewStub(ChannelTo(pgctld_port))->Stop(&context, request, &response));
}

absl::Status ComponentRpc::StartPostgres(int pgctld_port, absl::Time deadline) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  pgctldservice::StartResponse response;
  return rpc::FromGrpc(
      PgCtld::NewStub(ChannelTo(pgctld_port))->Start(&context, pgctldservice::StartRequest(), &response));
}

absl::Status ComponentRpc::SetPostgresRestarts(int multipooler_port, bool enabled, absl::Time deadline) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  multipoolermanagerdata::SetPostgresRestartsEnabledRequest request;
  request.set_enabled(enabled);
  multipoolermanagerdata::SetPostgresRestartsEnabledResponse response;
  return rpc::FromGrpc(MultipoolerManager::NewStub(ChannelTo(multipooler_port))
                           ->SetPostgresRestartsEnabled(&context, request, &response));
}

}  // namespace mg::local
