// multigres-agent: the composition root. The choice of the provisioner is made here; the process's life is in
// agentd/startup.
#include <unistd.h>

#include <map>
#include <string>

#include "agentd/provisioners/local/local_provisioner.h"
#include "agentd/startup/run_agent.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"

namespace {

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string text = *entry;
    size_t equals = text.find('=');
    if (equals != std::string::npos) {
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return environment;
}

/// A test of what a reboot leaves gives another id.
std::string BootIdOf(const std::map<std::string, std::string>& environment) {
  auto given = environment.find("MULTIGRES_TEST_BOOT_ID");
  return given != environment.end() ? given->second : mg::BootId();
}

absl::StatusOr<std::unique_ptr<mg::provisioners::Provisioner>> MakeLocal(const mg::startup::AgentPlace& place) {
  // <prefix>/bin/multigres-agent and <prefix>/libexec/multigres/.
  std::string prefix = mg::DirName(mg::DirName(place.executable));
  return mg::local::CreateLocalProvisioner({.home = place.home,
                                            .home_is_explicit = place.home_is_explicit,
                                            .libexec_dir = mg::JoinPath(prefix, "libexec/multigres"),
                                            .environment = place.environment,
                                            .uid = ::geteuid(),
                                            .boot_id = BootIdOf(place.environment),
                                            .socket = place.socket});
}

}  // namespace

int main(int argc, char** argv) { return mg::startup::RunAgent({argv + 1, argv + argc}, Environment(), MakeLocal); }
