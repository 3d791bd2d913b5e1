#include "agentd/operations/explain.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace mg::operations {
namespace {

namespace agent = multigres::agent::v1;
namespace v1 = multigres::provisioner::v1;

constexpr int kShownExits = 5;

class Explainer {
 public:
  Explainer(const std::vector<v1::ComponentSpec>& specs, const v1::ClusterStatus& status) {
    for (const v1::ComponentSpec& spec : specs) {
      specs_[spec.name()] = &spec;
      for (const std::string& needed : NeedsOf(spec)) {
        users_[needed].push_back(spec.name());
      }
    }
    for (const v1::ComponentStatus& component : status.components()) {
      states_[component.name()] = &component;
    }
  }

  /// What it was started after, and what serves through it: a gateway without its poolers serves nothing.
  static std::vector<std::string> NeedsOf(const v1::ComponentSpec& spec) {
    std::vector<std::string> needs(spec.after().begin(), spec.after().end());
    auto add = [&](const std::string& kind) {
      std::string name = absl::StrCat(kind, "/", spec.cell(), spec.database().empty() ? "" : "/", spec.database());
      if (std::find(needs.begin(), needs.end(), name) == needs.end()) {
        needs.push_back(name);
      }
    };
    if (spec.kind() == v1::COMPONENT_KIND_MULTIPOOLER) {
      add("postgres");
    }
    return needs;
  }

  const v1::ComponentSpec* spec(const std::string& name) const { return Find(specs_, name); }
  const v1::ComponentStatus* state(const std::string& name) const { return Find(states_, name); }

  /// From the component down to the first one whose own needs are all ready.
  void Chain(const std::string& name, std::set<std::string>* seen, agent::ExplainComponentResponse* out) const {
    const v1::ComponentStatus* status = state(name);
    if (status == nullptr || status->ready() || !seen->insert(name).second) {
      return;
    }
    int place = out->chain_size();
    agent::Cause* cause = out->add_chain();
    cause->set_component(name);
    cause->set_state(status->state());
    cause->set_reason(status->reason());
    if (const v1::ComponentSpec* own = spec(name)) {
      for (const std::string& needed : NeedsOf(*own)) {
        Chain(needed, seen, out);
      }
    }
    out->mutable_chain(place)->set_at_fault(out->chain_size() == place + 1);
  }

  std::vector<std::string> RunningUsers(const std::string& name) const {
    std::set<std::string> found;
    std::vector<std::string> ask = {name};
    while (!ask.empty()) {
      std::string next = ask.back();
      ask.pop_back();
      auto users = users_.find(next);
      for (const std::string& user : users == users_.end() ? std::vector<std::string>() : users->second) {
        const v1::ComponentStatus* status = state(user);
        if (user != name && status != nullptr && status->pid() != 0 && found.insert(user).second) {
          ask.push_back(user);
        }
      }
    }
    return {found.begin(), found.end()};
  }

 private:
  template <typename T>
  static const T* Find(const std::map<std::string, const T*>& map, const std::string& name) {
    auto found = map.find(name);
    return found == map.end() ? nullptr : found->second;
  }

  std::map<std::string, const v1::ComponentSpec*> specs_;
  std::map<std::string, const v1::ComponentStatus*> states_;
  std::map<std::string, std::vector<std::string>> users_;
};

std::string ProbeText(const v1::Probe& probe) {
  std::string whom = probe.port() == 0 ? probe.path() : absl::StrCat(probe.host(), ":", probe.port(), probe.path());
  return probe.type() == "postgres" ? absl::StrCat("postgres at ", probe.path())
                                    : absl::StrCat(probe.type(), " at ", whom);
}

std::string Summary(const v1::ComponentStatus& status, const agent::ExplainComponentResponse& response) {
  const std::string& name = status.name();
  if (status.desired() == "stopped" && status.pid() == 0) {
    return absl::StrCat(name, " is stopped, as it should be");
  }
  std::vector<std::string> faults;
  for (const agent::Cause& cause : response.chain()) {
    if (cause.at_fault() && cause.component() != name) {
      faults.push_back(cause.reason().empty() ? absl::StrCat(cause.component(), " is ", cause.state())
                                              : absl::StrCat(cause.component(), ": ", cause.reason()));
    }
  }
  if (status.ready()) {
    return faults.empty()
               ? absl::StrCat(name, " is ready", status.reason().empty() ? "" : absl::StrCat(", but ", status.reason()))
               : absl::StrCat(name, " is ready, although it needs what is not: ", absl::StrJoin(faults, ", "));
  }
  std::string own = status.reason().empty() ? absl::StrCat(name, " is ", status.state())
                                            : absl::StrCat(name, " is ", status.state(), ": ", status.reason());
  return faults.empty() ? own : absl::StrCat(own, "; it needs what is at fault: ", absl::StrJoin(faults, ", "));
}

}  // namespace

agent::ExplainComponentResponse Explain(const std::vector<v1::ComponentSpec>& specs, const v1::ClusterStatus& status,
                                        const std::vector<agent::Event>& events, const std::string& component) {
  Explainer explainer(specs, status);
  agent::ExplainComponentResponse response;
  const v1::ComponentSpec* spec = explainer.spec(component);
  const v1::ComponentStatus* state = explainer.state(component);
  if (spec == nullptr || state == nullptr) {
    return response;
  }
  *response.mutable_status() = *state;
  response.set_restart(spec->observed_only() ? absl::StrCat("by multipooler/", spec->cell(),
                                                            spec->database().empty() ? "" : "/", spec->database())
                                             : spec->restart());
  response.set_probe(ProbeText(spec->readiness()));
  for (const std::string& needed : Explainer::NeedsOf(*spec)) {
    response.add_needs(needed);
  }
  for (const std::string& user : explainer.RunningUsers(component)) {
    response.add_dependants(user);
  }
  if (state->desired() != "stopped") {
    std::set<std::string> seen;
    explainer.Chain(component, &seen, &response);
    // What is ready may serve from what it remembers, for a while.
    for (const std::string& needed : Explainer::NeedsOf(*spec)) {
      explainer.Chain(needed, &seen, &response);
    }
  }
  for (auto event = events.rbegin(); event != events.rend() && response.exits_size() < kShownExits; ++event) {
    if (event->component() == component && (event->type() == "exited" || event->type() == "stopped")) {
      *response.add_exits() = *event;
    }
  }
  response.set_summary(Summary(*state, response));
  return response;
}

}  // namespace mg::operations
