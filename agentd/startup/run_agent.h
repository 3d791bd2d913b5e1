/// The agent's life from its command line to its exit status, for any provisioner: main.cpp gives the local one, tests
/// a fake one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/contract.h"

namespace mg::startup {

/// Where this agent lives.
struct AgentPlace {
  std::map<std::string, std::string> environment;
  std::string home;  ///< exists
  bool home_is_explicit = false;
  std::string socket;
  std::string runtime_directory;  ///< the socket's: short, private, gone after a reboot
  std::string log_file;
  std::string executable;
};

using MakeProvisioner =
    std::function<absl::StatusOr<std::unique_ptr<provisioners::Provisioner>>(const AgentPlace& place)>;

/// Runs until SIGTERM, SIGINT or the Shutdown RPC. `arguments` without the program's name. To be called from main
/// before any thread is made; the exit status.
int RunAgent(const std::vector<std::string>& arguments, std::map<std::string, std::string> environment,
             const MakeProvisioner& make_provisioner);

}  // namespace mg::startup
