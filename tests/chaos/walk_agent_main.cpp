// The agent, with the provisioner of the random walk. WALK_ROOT, WALK_CONTROLS, WALK_COMPONENTS and WALK_PORT say what
// WalkOptions has.
#include <unistd.h>

#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "agentd/startup/run_agent.h"
#include "common/fs/fs.h"
#include "tests/chaos/walk_provisioner.h"

int main(int argc, char** argv) {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string text = *entry;
    size_t equals = text.find('=');
    environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return mg::startup::RunAgent(
      {argv + 1, argv + argc}, environment,
      [](const mg::startup::AgentPlace& place) -> absl::StatusOr<std::unique_ptr<mg::provisioners::Provisioner>> {
        auto value = [&](const char* name) {
          auto it = place.environment.find(name);
          return it == place.environment.end() ? std::string() : it->second;
        };
        std::string build = mg::DirName(mg::DirName(place.executable));
        mg::walk::WalkOptions options{.root = value("WALK_ROOT"),
                                      .controls = value("WALK_CONTROLS"),
                                      .shim = mg::JoinPath(build, "libexec/multigres/multigres-shim"),
                                      .component = mg::JoinPath(build, "tests/walk-component")};
        if (!absl::SimpleAtoi(value("WALK_COMPONENTS"), &options.components) ||
            !absl::SimpleAtoi(value("WALK_PORT"), &options.first_port)) {
          return absl::InvalidArgumentError("WALK_COMPONENTS and WALK_PORT are numbers");
        }
        return mg::walk::CreateWalkProvisioner(std::move(options));
      });
}
