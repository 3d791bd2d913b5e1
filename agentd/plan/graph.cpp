#include "agentd/plan/graph.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace mg::plan {

namespace {

/// A cycle among the nodes that a topological sort could not place, by walking predecessors until one comes again.
std::string NameCycle(const std::vector<Node>& nodes, const std::map<std::string, size_t>& index,
                      const std::vector<bool>& placed) {
  size_t at = static_cast<size_t>(std::find(placed.begin(), placed.end(), false) - placed.begin());
  std::vector<std::string> walk;
  for (;;) {
    auto seen = std::find(walk.begin(), walk.end(), nodes[at].id);
    if (seen != walk.end()) {
      std::vector<std::string> cycle(seen, walk.end());
      cycle.push_back(nodes[at].id);
      return absl::StrJoin(cycle, " -> ");
    }
    walk.push_back(nodes[at].id);
    for (const std::string& before : nodes[at].after) {
      if (size_t i = index.at(before); !placed[i]) {
        at = i;
        break;
      }
    }
  }
}

}  // namespace

absl::StatusOr<Graph> Graph::Build(const std::vector<Node>& nodes) {
  Graph graph;
  std::map<std::string, size_t> index;
  for (const Node& node : nodes) {
    if (!index.emplace(node.id, graph.steps_.size()).second) {
      return absl::InvalidArgumentError(absl::StrCat("the step ", node.id, " is there twice"));
    }
    graph.steps_.push_back({.id = node.id});
  }
  for (const Node& node : nodes) {
    size_t self = index.at(node.id);
    for (const std::string& before : node.after) {
      auto found = index.find(before);
      if (found == index.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the step ", node.id, " comes after ", before, ", which is unknown"));
      }
      graph.steps_[found->second].successors.push_back(self);
      ++graph.steps_[self].missing;
    }
  }
  std::vector<int> missing;
  for (const Step& step : graph.steps_) {
    missing.push_back(step.missing);
  }
  std::vector<bool> placed(nodes.size(), false);
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (!placed[i] && missing[i] == 0) {
        placed[i] = progress = true;
        graph.order_.push_back(nodes[i].id);
        for (size_t next : graph.steps_[i].successors) {
          --missing[next];
        }
      }
    }
  }
  if (graph.order_.size() != nodes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("steps wait for each other: ", NameCycle(nodes, index, placed)));
  }
  return graph;
}

size_t Graph::IndexOf(const std::string& id) const {
  auto found = std::find_if(steps_.begin(), steps_.end(), [&](const Step& step) { return step.id == id; });
  return static_cast<size_t>(found - steps_.begin());
}

std::vector<std::string> Graph::TakeReady() {
  std::vector<std::string> ready;
  for (Step& step : steps_) {
    if (step.state == State::kWaiting && step.missing == 0) {
      step.state = State::kTaken;
      ready.push_back(step.id);
    }
  }
  return ready;
}

void Graph::Done(const std::string& id) {
  size_t index = IndexOf(id);
  if (index == steps_.size() || steps_[index].state == State::kDone) {
    return;
  }
  steps_[index].state = State::kDone;
  for (size_t next : steps_[index].successors) {
    --steps_[next].missing;
  }
}

void Graph::Failed(const std::string& id) {
  size_t index = IndexOf(id);
  if (index == steps_.size()) {
    return;
  }
  steps_[index].state = State::kFailed;
  for (size_t next : steps_[index].successors) {
    GiveUp(next);
  }
}

void Graph::GiveUp(size_t index) {
  if (steps_[index].state != State::kWaiting) {
    return;
  }
  steps_[index].state = State::kGivenUp;
  for (size_t next : steps_[index].successors) {
    GiveUp(next);
  }
}

bool Graph::Finished() const {
  return std::none_of(steps_.begin(), steps_.end(),
                      [](const Step& step) { return step.state == State::kWaiting || step.state == State::kTaken; });
}

std::vector<std::string> Graph::GivenUp() const {
  std::vector<std::string> ids;
  for (const Step& step : steps_) {
    if (step.state == State::kGivenUp) {
      ids.push_back(step.id);
    }
  }
  return ids;
}

}  // namespace mg::plan
