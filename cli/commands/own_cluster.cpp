#include "cli/commands/own_cluster.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/context.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::cli {
namespace {

namespace agent = multigres::agent::v1;

/// An agent that is slower than this leaves the address as what it is.
constexpr absl::Duration kLimit = absl::Seconds(2);

/// The port of an address on this machine's loopback; 0: it is no such address.
int LoopbackPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  const std::string host = address.substr(0, colon);
  int port = 0;
  const bool loopback = host == "localhost" || host == "::1" || host == "[::1]" ||
                        (absl::StartsWith(host, "127.") && host.find_first_not_of("0123456789.") == std::string::npos);
  return colon != std::string::npos && loopback && absl::SimpleAtoi(address.substr(colon + 1), &port) ? port : 0;
}

bool HasAdminAt(const agent::GetClusterResponse& cluster, int port) {
  for (const auto& component : cluster.status().components()) {
    auto grpc = component.ports().find("grpc");
    if (component.kind() == "multiadmin" && component.pid() != 0 && grpc != component.ports().end() &&
        grpc->second == port) {
      return true;
    }
  }
  return false;
}

}  // namespace

Arguments TowardsOwnCluster(const std::vector<Command>& commands, const Arguments& arguments,
                            const std::map<std::string, std::string>& environment) {
  const int port = LoopbackPort(arguments.Get("admin-server"));
  auto token = environment.find("MULTIGRES_TOKEN_FILE");
  if (port == 0 || (token != environment.end() && !token->second.empty())) {
    return arguments;
  }
  Arguments own = arguments;
  for (const char* other : {"admin-server", "context", "config-path"}) {
    own.values.erase(other);
  }
  const absl::Time deadline = absl::Now() + kLimit;
  // Named as the command itself will name it, so that both mean one cluster.
  auto ask = [&](const std::string& name, auto request) {
    own.values["cluster"] = {name};
    Context context(commands, own, environment);
    context.OnlyAsk(deadline);
    *request.mutable_cluster() = context.Selector();
    absl::StatusOr<AgentClient*> client = context.Agent(/*start=*/false);
    return client.ok() ? (*client)->Call(request, deadline) : client.status();
  };
  absl::StatusOr<agent::ListNamesResponse> names = ask("default", agent::ListNamesRequest());
  if (!names.ok()) {
    return arguments;
  }
  for (const std::string& name : names->clusters()) {
    absl::StatusOr<agent::GetClusterResponse> cluster = ask(name, agent::GetClusterRequest());
    if (cluster.ok() && HasAdminAt(*cluster, port)) {
      return own;
    }
  }
  return arguments;
}

}  // namespace mg::cli
