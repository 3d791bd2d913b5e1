/// Shows an operation's progress on stderr: a line per group that is redrawn in place on a terminal, plain lines as
/// things end elsewhere. One thread feeds it; a second one may call Tick.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/output/terminal.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::cli {

class ProgressView {
 public:
  ProgressView(const Terminal& terminal, bool quiet);
  /// Leaves what was drawn on the screen.
  ~ProgressView();
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void Show(const multigres::provisioner::v1::ProvisionProgress& progress);
  /// Redraws the clocks and the spinner of what runs; nothing when not on a terminal.
  void Tick();
  /// Draws the end; nothing is redrawn afterwards.
  void Finish();

 private:
  struct Step {
    std::string id, detail;
    multigres::provisioner::v1::StepState state = multigres::provisioner::v1::STEP_STATE_PENDING;
  };
  struct Group {
    std::string name;
    std::vector<Step> steps;
    absl::Time began;  ///< infinite future: none of its steps has begun
    absl::Duration elapsed;
  };
  Group& GroupOf(const std::string& name);
  std::string Line(const Group& group) const;
  static bool Ended(const Group& group);
  static bool Failed(const Group& group);
  void Redraw();

  const Terminal terminal_;
  const bool quiet_;
  std::mutex mutex_;
  std::vector<Group> groups_;
  std::vector<std::string> messages_;
  int drawn_lines_ = 0;
  unsigned frame_ = 0;
  bool finished_ = false;
};

}  // namespace mg::cli
