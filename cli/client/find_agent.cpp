#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "cli/client/agent_client.h"
#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/version/version.h"

namespace mg::cli {
namespace {

std::string Value(const std::map<std::string, std::string>& environment, const std::string& name) {
  auto it = environment.find(name);
  return it == environment.end() ? std::string() : it->second;
}

}  // namespace

absl::StatusOr<AgentPlace> FindAgent(const std::map<std::string, std::string>& environment) {
  MG_ASSIGN_OR_RETURN(config::Home home, config::FindHome(environment, ::geteuid()));
  std::map<std::string, std::string> plain = environment;
  plain.erase("MULTIGRES_HOME");
  // Without a default (no HOME) the home that was given has the hashed name.
  absl::StatusOr<config::Home> default_home = config::FindHome(plain, ::geteuid());
  rpc::AgentPaths paths =
      rpc::FindAgentPaths(Value(environment, "MULTIGRES_AGENT_SOCKET"), Value(environment, "XDG_RUNTIME_DIR"),
                          ::geteuid(), home.path, default_home.ok() ? default_home->path : std::string());
  return AgentPlace{.home = home.path,
                    .home_is_explicit = home.is_explicit,
                    .socket = paths.socket,
                    .discovery = paths.discovery,
                    .log_file = JoinPath(home.path, "agent.log")};
}

absl::Status CheckProtocol(const agent::GetInfoResponse& info) {
  if (info.protocol_min() <= kAgentProtocol && info.protocol_max() >= kAgentProtocolMin) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kUnavailable,
      absl::StrCat("the agent (version ", info.version(), ") speaks protocols ", info.protocol_min(), " to ",
                   info.protocol_max(), ", this program ", kAgentProtocolMin, " to ", kAgentProtocol),
      {.reason = "PROTOCOL_MISMATCH",
       .hint = "multigres agent restart has the right one take over; the components go on meanwhile"});
}

std::string VersionWarning(const agent::GetInfoResponse& info, const std::string& own_version) {
  if (info.version() == own_version) {
    return "";
  }
  return absl::StrCat("the agent is version ", info.version(), " and this program ", own_version,
                      "; multigres agent restart has the right one take over, and the components go on meanwhile");
}

}  // namespace mg::cli
