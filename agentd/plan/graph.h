/// The order of steps: what may start now, what must wait, what can no longer be reached. Pure; not thread-safe, the
/// executor guards it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::plan {

/// A step and the steps that must be done before it.
struct Node {
  std::string id;
  std::vector<std::string> after;
};

class Graph {
 public:
  /// INVALID_ARGUMENT for an id that is there twice, an unknown predecessor, or a cycle (which is named: `a -> b ->
  /// a`).
  static absl::StatusOr<Graph> Build(const std::vector<Node>& nodes);

  /// Steps whose predecessors are all done and that were not given out yet, in the order of Build; each is given once.
  std::vector<std::string> TakeReady();
  void Done(const std::string& id);
  /// Everything that comes after it, however indirectly, is given up.
  void Failed(const std::string& id);

  /// Nothing is waiting and nothing is under way.
  bool Finished() const;
  /// Steps that can no longer be reached, in the order of Build.
  std::vector<std::string> GivenUp() const;
  /// All ids, each after those it depends on; among equals in the order of Build.
  const std::vector<std::string>& Order() const { return order_; }

 private:
  enum class State { kWaiting, kTaken, kDone, kFailed, kGivenUp };
  struct Step {
    std::string id;
    State state = State::kWaiting;
    int missing = 0;                 ///< predecessors that are not done
    std::vector<size_t> successors;  ///< indexes into steps_
  };
  size_t IndexOf(const std::string& id) const;
  void GiveUp(size_t index);

  std::vector<Step> steps_;
  std::vector<std::string> order_;
};

}  // namespace mg::plan
