// The agent, but its clusters are only pretended: see FakeProvisioner for what their names do.
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "agentd/provisioners/fake/fake_provisioner.h"
#include "agentd/startup/run_agent.h"

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
        return std::make_unique<mg::provisioners::FakeProvisioner>(value("FAKE_ADMIN_ADDRESS"), value("FAKE_LOGS"));
      });
}
