/// The agent's server: AgentService, ProvisionerService, the forwarded Admin API, health and reflection on the private
/// socket, and the discovery file beside it. Translates only; what it serves is given to it and must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/events/event_log.h"
#include "agentd/operations/registry.h"
#include "agentd/provisioners/contract.h"
#include "common/rpc/rpc.h"

namespace mg::rpc {

struct ServerOptions {
  AgentPaths paths;
  std::string home;
  std::string log_file;
  std::string executable;
  absl::Time start_time;
  int listener_fd = -1;            ///< a socket that was handed over, which the server takes; -1: it makes its own
  std::function<void()> shutdown;  ///< asked for by a client; any thread; must not block
};

class AgentServer {
 public:
  /// Listens and serves. Errors as PrivateListener::Open's.
  static absl::StatusOr<std::unique_ptr<AgentServer>> Start(ServerOptions options,
                                                            provisioners::Provisioner& provisioner,
                                                            operations::Registry& registry, events::EventLog& events);
  /// Stops accepting, ends all calls, removes the socket and the discovery file.
  ~AgentServer();

 private:
  struct Impl;
  explicit AgentServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::rpc
