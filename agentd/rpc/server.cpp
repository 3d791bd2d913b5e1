#include "agentd/rpc/server.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "agentd/adminproxy/admin_proxy.h"
#include "agentd/rpc/agent_service.h"
#include "agentd/rpc/provisioner_service.h"
#include "agentd/rpc/worker_pool.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/version/version.h"

namespace mg::rpc {
namespace {

constexpr size_t kWorkers = 8;
constexpr int kMaxMessageBytes = 16 << 20;
/// How long calls under way may still take at the end.
constexpr std::chrono::milliseconds kDrain(200);

agent::GetInfoResponse InfoOf(const ServerOptions& options) {
  agent::GetInfoResponse info;
  info.set_version(kVersion);
  info.set_protocol_min(kAgentProtocolMin);
  info.set_protocol_max(kAgentProtocol);
  for (const char* capability : {"admin-forwarding", "idempotency-keys", "join-operation", "log-text", "watch-state"}) {
    info.add_capabilities(capability);
  }
  info.set_pid(::getpid());
  timespec start = absl::ToTimespec(options.start_time);
  info.mutable_start_time()->set_seconds(start.tv_sec);
  info.mutable_start_time()->set_nanos(static_cast<int>(start.tv_nsec));
  info.set_home(options.home);
  info.set_socket(options.paths.socket);
  info.set_log_file(options.log_file);
  info.set_executable(options.executable);
  return info;
}

/// The discovery file has the shape of GetInfo's answer.
absl::Status WriteDiscovery(const std::string& path, const agent::GetInfoResponse& info) {
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = true;
  print.always_print_primitive_fields = true;
  std::string json;
  if (auto status = google::protobuf::util::MessageToJsonString(info, &json, print); !status.ok()) {
    return absl::InternalError("cannot write the discovery file as JSON");
  }
  return WriteFileAtomically(path, json, 0600);
}

/// Where calls go, and with which token. To say so the whole configuration of the cluster is read; what was said is
/// good for a moment, so that a command that asks much at once does not pay for that with each of its calls. Any
/// thread.
class AdminTargets {
 public:
  explicit AdminTargets(provisioners::Provisioner& provisioner) : provisioner_(provisioner) {}

  absl::StatusOr<adminproxy::AdminProxy::Target> Get(const multigres::provisioner::v1::ClusterSelector& cluster) {
    const std::string key = cluster.SerializeAsString();
    std::lock_guard lock(mutex_);
    auto known = targets_.find(key);
    if (known != targets_.end() && std::chrono::steady_clock::now() - known->second.since < kGoodFor) {
      return known->second.target;
    }
    // With the lock: who comes meanwhile waits for this answer instead of reading everything as well.
    adminproxy::AdminProxy::Target target;
    MG_ASSIGN_OR_RETURN(target.address, provisioner_.AdminAddress(cluster));
    MG_ASSIGN_OR_RETURN(target.token, provisioner_.AdminToken(cluster));
    if (targets_.size() >= kMost) {
      targets_.clear();
    }
    targets_[key] = {.target = target, .since = std::chrono::steady_clock::now()};
    return target;
  }

 private:
  /// Shorter than any two commands that a person or a script gives one after the other.
  static constexpr std::chrono::milliseconds kGoodFor{10};
  static constexpr size_t kMost = 64;
  struct Known {
    adminproxy::AdminProxy::Target target;
    std::chrono::steady_clock::time_point since;
  };

  provisioners::Provisioner& provisioner_;
  std::mutex mutex_;
  std::map<std::string, Known> targets_;
};

}  // namespace

struct AgentServer::Impl {
  Impl(ServerOptions given, provisioners::Provisioner& provisioner, operations::Registry& registry,
       events::EventLog& events)
      : options(std::move(given)),
        info(InfoOf(options)),
        agent_service(Domain{provisioner, registry, events, workers, options.shutdown}, info),
        provisioner_service(Domain{provisioner, registry, events, workers, options.shutdown}),
        targets(provisioner),
        proxy([this](const auto& cluster) { return targets.Get(cluster); },
              [this](std::function<void()> task) { workers.Run(std::move(task)); }) {}

  const ServerOptions options;
  const agent::GetInfoResponse info;
  AgentServiceImpl agent_service;
  ProvisionerServiceImpl provisioner_service;
  AdminTargets targets;
  adminproxy::AdminProxy proxy;
  std::unique_ptr<grpc::Server> server;
  WorkerPool workers{kWorkers};
  std::unique_ptr<PrivateListener> listener;
};

AgentServer::AgentServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<AgentServer>> AgentServer::Start(ServerOptions options,
                                                                provisioners::Provisioner& provisioner,
                                                                operations::Registry& registry,
                                                                events::EventLog& events) {
  auto impl = std::make_unique<Impl>(std::move(options), provisioner, registry, events);
  grpc::EnableDefaultHealthCheckService(true);
  // Called by hand: a static link drops the plugin's self-registration.
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // Only reflection is synchronous: one thread waits for it.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  builder.RegisterService(&impl->agent_service);
  builder.RegisterService(&impl->provisioner_service);
  builder.RegisterCallbackGenericService(impl->proxy.service());
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr) {
    return absl::InternalError("gRPC refused to start the agent's server");
  }
  int handed_over = impl->options.listener_fd;
  MG_ASSIGN_OR_RETURN(impl->listener, handed_over >= 0
                                          ? PrivateListener::Adopt(UniqueFd(handed_over), impl->options.paths.socket)
                                          : PrivateListener::Open(impl->options.paths.socket));
  impl->listener->Serve(impl->server.get());
  MG_RETURN_IF_ERROR(WriteDiscovery(impl->options.paths.discovery, impl->info));
  return std::unique_ptr<AgentServer>(new AgentServer(std::move(impl)));
}

AgentServer::~AgentServer() {
  ::unlink(impl_->options.paths.discovery.c_str());
  impl_->listener.reset();
  // Where the socket is systemd's, the next who comes to it starts another agent.
  impl_->agent_service.EndStreams(/*restarts=*/impl_->options.listener_fd >= 0);
  impl_->server->Shutdown(std::chrono::system_clock::now() + kDrain);
  impl_->server->Wait();
}

}  // namespace mg::rpc
