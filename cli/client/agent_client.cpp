#include "cli/client/agent_client.h"

#include <google/protobuf/util/json_util.h>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/log_stream.h"
#include "cli/client/start_agent.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/version/version.h"
#include "multigres/agent/v1/agent.grpc.pb.h"

namespace mg::cli {
namespace {

using Stub = agent::AgentService::Stub;

absl::Status NotRunning(const AgentPlace& place) {
  return MakeError(absl::StatusCode::kUnavailable, absl::StrCat("no agent runs (looked for ", place.socket, ")"),
                   {.reason = "AGENT_NOT_RUNNING", .hint = "multigres agent start"});
}

/// Nobody is there: no directory, no socket, or one that a dead agent left.
bool IsAbsent(const absl::Status& status) {
  return absl::IsNotFound(status) || DetailOf(status).value_or(ErrorDetail{}).reason == "STALE_SOCKET";
}

bool IsGone(const absl::Status& status) { return DetailOf(status).value_or(ErrorDetail{}).reason == "AGENT_GONE"; }

constexpr int kMostAttempts = 3;

/// The answer may be asked for once more from the next agent.
template <typename Request>
constexpr bool OnlyAsks() {
  return !std::is_same_v<Request, agent::ShutdownRequest> && !std::is_same_v<Request, agent::CancelOperationRequest> &&
         !std::is_same_v<Request, agent::SignalComponentRequest>;
}

/// An operation that may be asked for twice: the second time it is joined, or finds everything done.
template <typename Request, typename Response>
constexpr bool Begins() {
  return std::is_same_v<Response, agent::OperationEvent> && !std::is_same_v<Request, agent::JoinOperationRequest> &&
         !std::is_same_v<Request, multigres::provisioner::v1::InjectFaultRequest>;
}

}  // namespace

struct AgentClient::Impl {
  AgentOptions options;
  AgentPlace place;
  bool started = false;
  std::shared_ptr<grpc::Channel> channel;
  std::shared_ptr<Stub> stub;

  std::mutex mutex;
  bool cancelled = false;
  std::set<grpc::ClientContext*> calls;

  /// A call that Cancel reaches.
  class Call {
   public:
    explicit Call(Impl* impl) : impl_(impl) {
      std::lock_guard<std::mutex> lock(impl_->mutex);
      impl_->calls.insert(&context);
      if (impl_->cancelled) {
        context.TryCancel();
      }
    }
    ~Call() {
      std::lock_guard<std::mutex> lock(impl_->mutex);
      impl_->calls.erase(&context);
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    grpc::ClientContext context;

   private:
    Impl* impl_;
  };

  template <typename Request, typename Response>
  absl::StatusOr<Response> Unary(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                 const Request& request, absl::Time deadline) {
    for (int attempt = 1;; ++attempt) {
      absl::Status status;
      {
        Call call(this);
        rpc::SetDeadline(&call.context, deadline);
        Response response;
        std::shared_ptr<Stub> current = CurrentStub();
        status = FromAgent((current.get()->*method)(&call.context, request, &response));
        if (status.ok()) {
          return response;
        }
      }
      // An agent that is killed takes connections for some moments more.
      if (!IsGone(status) || !OnlyAsks<Request>() || attempt == kMostAttempts || absl::Now() >= deadline) {
        return status;
      }
      MG_RETURN_IF_ERROR(Open());
    }
  }

  std::shared_ptr<Stub> CurrentStub() {
    std::lock_guard<std::mutex> lock(mutex);
    return stub;
  }

  /// Connects, to a new agent if need be.
  absl::Status Open() {
    absl::Time deadline = absl::Now() + options.start_timeout;
    absl::StatusOr<UniqueFd> socket = rpc::ConnectPrivate(place.socket, options.connect_timeout);
    // An agent may end right after it was found or started; the third time something else is wrong.
    for (int attempt = 0; attempt < kMostAttempts && !socket.ok() && IsAbsent(socket.status()); ++attempt) {
      if (!options.start) {
        return NotRunning(place);
      }
      MG_RETURN_IF_ERROR(StartAgent(options, place, deadline));
      started = true;
      socket = rpc::ConnectPrivate(place.socket, options.connect_timeout);
    }
    MG_RETURN_IF_ERROR(socket.status());
    std::lock_guard<std::mutex> lock(mutex);
    channel = rpc::ChannelFromFd(*std::move(socket));
    stub = agent::AgentService::NewStub(channel);
    return absl::OkStatus();
  }

  template <typename Request, typename Response>
  absl::Status Read(std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(grpc::ClientContext*, const Request&),
                    const Request& request, const Reader<Response>& reader) {
    for (int attempt = 1;; ++attempt) {
      bool received = false;
      absl::Status status = ReadOnce(method, request, reader, &received);
      // The first word of an operation comes at once: without it the agent had been killed before, and took the
      // connection in its last moments.
      if (!IsGone(status) || received || !Begins<Request, Response>() || attempt == kMostAttempts) {
        return status;
      }
      MG_RETURN_IF_ERROR(Open());
    }
  }

  template <typename Request, typename Response>
  absl::Status ReadOnce(std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(grpc::ClientContext*,
                                                                                      const Request&),
                        const Request& request, const Reader<Response>& reader, bool* received) {
    Call call(this);
    std::shared_ptr<Stub> current = CurrentStub();
    std::unique_ptr<grpc::ClientReader<Response>> stream = (current.get()->*method)(&call.context, request);
    Response response;
    bool enough = false;
    while (stream->Read(&response)) {
      *received = true;
      if (!enough && !reader(response)) {
        enough = true;
        call.context.TryCancel();
      }
    }
    absl::Status status = FromAgent(stream->Finish());
    return enough && absl::IsCancelled(status) ? absl::OkStatus() : status;
  }
};

// gRPC's own words for a broken connection ("Socket closed") help nobody.
absl::Status FromAgent(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty()) {
    return MakeError(absl::StatusCode::kUnavailable,
                     "the answer did not arrive: the agent ended during the call, and what was begun may go on",
                     {.reason = "AGENT_GONE",
                      .hint = "try again: a new agent takes over what runs; multigres agent logs may say why"});
  }
  return rpc::FromGrpc(status);
}

AgentClient::AgentClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AgentClient::~AgentClient() = default;

absl::StatusOr<std::unique_ptr<AgentClient>> AgentClient::Connect(const AgentOptions& options) {
  auto impl = std::make_unique<Impl>();
  MG_ASSIGN_OR_RETURN(impl->place, FindAgent(options.environment));
  impl->options = options;
  MG_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<AgentClient>(new AgentClient(std::move(impl)));
}

const AgentPlace& AgentClient::place() const { return impl_->place; }
bool AgentClient::started() const { return impl_->started; }

std::optional<agent::GetInfoResponse> AgentClient::Discovered() const {
  agent::GetInfoResponse info;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // of a newer agent
  absl::StatusOr<std::string> json = ReadFile(impl_->place.discovery);
  // Nearly always so, and much cheaper to see than the whole is to read.
  if (json.ok() && absl::StrContains(*json, absl::StrCat("\"version\": \"", kVersion, "\",")) &&
      absl::StrContains(*json, absl::StrCat("\"protocolMin\": ", kAgentProtocolMin, ",")) &&
      absl::StrContains(*json, absl::StrCat("\"protocolMax\": ", kAgentProtocol, ","))) {
    return std::nullopt;
  }
  if (!json.ok() || !google::protobuf::util::JsonStringToMessage(*json, &info, options).ok()) {
    return std::nullopt;
  }
  return info;
}

std::shared_ptr<grpc::Channel> AgentClient::channel() const { return impl_->channel; }

void AgentClient::Cancel() {
  std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->cancelled = true;
  for (grpc::ClientContext* context : impl_->calls) {
    context->TryCancel();
  }
}

absl::StatusOr<agent::GetInfoResponse> AgentClient::Call(const agent::GetInfoRequest& request, absl::Time deadline) {
  return impl_->Unary(&Stub::GetInfo, request, deadline);
}
absl::StatusOr<agent::ShutdownResponse> AgentClient::Call(const agent::ShutdownRequest& request, absl::Time deadline) {
  return impl_->Unary(&Stub::Shutdown, request, deadline);
}
absl::StatusOr<agent::ListClustersResponse> AgentClient::Call(const agent::ListClustersRequest& request,
                                                              absl::Time deadline) {
  return impl_->Unary(&Stub::ListClusters, request, deadline);
}
absl::StatusOr<agent::ListNamesResponse> AgentClient::Call(const agent::ListNamesRequest& request,
                                                           absl::Time deadline) {
  return impl_->Unary(&Stub::ListNames, request, deadline);
}
absl::StatusOr<agent::GetClusterResponse> AgentClient::Call(const agent::GetClusterRequest& request,
                                                            absl::Time deadline) {
  return impl_->Unary(&Stub::GetCluster, request, deadline);
}
absl::StatusOr<agent::RegisterClusterResponse> AgentClient::Call(const agent::RegisterClusterRequest& request,
                                                                 absl::Time deadline) {
  return impl_->Unary(&Stub::RegisterCluster, request, deadline);
}
absl::StatusOr<agent::GetConnectionResponse> AgentClient::Call(const agent::GetConnectionRequest& request,
                                                               absl::Time deadline) {
  return impl_->Unary(&Stub::GetConnection, request, deadline);
}
absl::StatusOr<agent::PlanUpResponse> AgentClient::Call(const agent::PlanUpRequest& request, absl::Time deadline) {
  return impl_->Unary(&Stub::PlanUp, request, deadline);
}
absl::StatusOr<agent::PlanCleanResponse> AgentClient::Call(const agent::PlanCleanRequest& request,
                                                           absl::Time deadline) {
  return impl_->Unary(&Stub::PlanClean, request, deadline);
}
absl::StatusOr<agent::ListOperationsResponse> AgentClient::Call(const agent::ListOperationsRequest& request,
                                                                absl::Time deadline) {
  return impl_->Unary(&Stub::ListOperations, request, deadline);
}
absl::StatusOr<agent::CancelOperationResponse> AgentClient::Call(const agent::CancelOperationRequest& request,
                                                                 absl::Time deadline) {
  return impl_->Unary(&Stub::CancelOperation, request, deadline);
}

absl::StatusOr<agent::SignalComponentResponse> AgentClient::Call(const agent::SignalComponentRequest& request,
                                                                 absl::Time deadline) {
  return impl_->Unary(&Stub::SignalComponent, request, deadline);
}
absl::StatusOr<agent::ExplainComponentResponse> AgentClient::Call(const agent::ExplainComponentRequest& request,
                                                                  absl::Time deadline) {
  return impl_->Unary(&Stub::ExplainComponent, request, deadline);
}

absl::Status AgentClient::Stream(const agent::UpRequest& request, const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::Up, request, reader);
}
absl::Status AgentClient::Stream(const agent::DownRequest& request, const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::Down, request, reader);
}
absl::Status AgentClient::Stream(const agent::RestartRequest& request, const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::Restart, request, reader);
}
absl::Status AgentClient::Stream(const multigres::provisioner::v1::InjectFaultRequest& request,
                                 const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::InjectFault, request, reader);
}
absl::Status AgentClient::Stream(const agent::JoinOperationRequest& request,
                                 const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::JoinOperation, request, reader);
}
absl::Status AgentClient::StartComponent(const agent::ComponentRequest& request,
                                         const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::StartComponent, request, reader);
}
absl::Status AgentClient::StopComponent(const agent::ComponentRequest& request,
                                        const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::StopComponent, request, reader);
}
absl::Status AgentClient::RestartComponent(const agent::ComponentRequest& request,
                                           const Reader<agent::OperationEvent>& reader) {
  return impl_->Read(&Stub::RestartComponent, request, reader);
}
absl::Status AgentClient::Stream(const agent::TailLogsRequest& request, const LogReader& reader, absl::Time deadline) {
  Impl::Call call(impl_.get());
  rpc::SetDeadline(&call.context, deadline);
  return FromAgent(ReadLogs(impl_->channel, &call.context, request, reader));
}
absl::Status AgentClient::Stream(const agent::WatchEventsRequest& request,
                                 const Reader<agent::WatchEventsResponse>& reader) {
  return impl_->Read(&Stub::WatchEvents, request, reader);
}
absl::Status AgentClient::Stream(const agent::WatchStateRequest& request,
                                 const Reader<agent::WatchStateResponse>& reader) {
  return impl_->Read(&Stub::WatchState, request, reader);
}

void SelectCluster(grpc::ClientContext* context, const multigres::provisioner::v1::ClusterSelector& cluster) {
  // Header text is printable ASCII; keys that end in -bin carry any bytes, as a path may have them.
  auto add = [&](const std::string& key, const std::string& value) {
    bool plain = std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (!value.empty()) {
      context->AddMetadata(plain ? key : key + "-bin", value);
    }
  };
  add("multigres-cluster", cluster.name());
  add("multigres-config-path", cluster.config_path());
  add("multigres-working-directory", cluster.working_directory());
  add("multigres-home-explicit", cluster.home_is_explicit() ? "true" : "");
}

absl::Status ResultOf(const multigres::provisioner::v1::OperationResult& result) {
  if (!result.has_failure()) {
    return absl::OkStatus();
  }
  const auto& failure = result.failure();
  return MakeError(static_cast<absl::StatusCode>(failure.code()), failure.message(),
                   {.reason = failure.reason(),
                    .hint = failure.hint(),
                    .subject = failure.component(),
                    .log_tail = {failure.last_lines().begin(), failure.last_lines().end()}});
}

}  // namespace mg::cli
