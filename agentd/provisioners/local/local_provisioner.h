/// The local flavour: every component is a process of this machine, held by a shim of its own. The contract is
/// agentd/provisioners/contract.h; what it promises about threads holds here.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agentd/provisioners/contract.h"

namespace mg::local {

struct LocalOptions {
  std::string home;  ///< state directory, absolute; exists
  bool home_is_explicit = false;
  std::string libexec_dir;                         ///< multigres-shim and our components
  std::map<std::string, std::string> environment;  ///< the agent's
  unsigned uid = 0;                                ///< the agent's effective user
  std::string boot_id;                             ///< of this boot; empty: the machine says it
  std::string socket = {};                         ///< where the agent serves the Provisioner API; empty: nowhere
};

std::unique_ptr<provisioners::Provisioner> CreateLocalProvisioner(LocalOptions options);

}  // namespace mg::local
