#include "cli/output/progress.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/rpc/proto_time.h"
#include "common/text/text.h"

namespace mg::cli {

namespace v1 = multigres::provisioner::v1;

namespace {

constexpr const char* kSpinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
constexpr int kNameWidth = 16;

/// Without what the group says already: `multipooler/zone1` within the group zone1 is `multipooler`; where all have the
/// same kind, as `serve/zone1`, it is the cell.
std::string ShortName(const std::string& id, const std::string& group) {
  size_t slash = id.find('/');
  if (slash == std::string::npos) {
    return id;
  }
  return id.compare(slash + 1, group.size(), group) == 0 ? id.substr(0, slash) : id.substr(slash + 1);
}

void Write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

ProgressView::ProgressView(const Terminal& terminal, bool quiet) : terminal_(terminal), quiet_(quiet) {}

ProgressView::~ProgressView() { Finish(); }

ProgressView::Group& ProgressView::GroupOf(const std::string& name) {
  for (Group& group : groups_) {
    if (group.name == name) {
      return group;
    }
  }
  groups_.push_back({.name = name, .steps = {}, .began = absl::InfiniteFuture(), .elapsed = absl::ZeroDuration()});
  return groups_.back();
}

bool ProgressView::Ended(const Group& group) {
  return std::all_of(group.steps.begin(), group.steps.end(), [](const Step& s) {
    return s.state == v1::STEP_STATE_DONE || s.state == v1::STEP_STATE_SKIPPED || s.state == v1::STEP_STATE_FAILED;
  });
}

bool ProgressView::Failed(const Group& group) {
  return std::any_of(group.steps.begin(), group.steps.end(),
                     [](const Step& s) { return s.state == v1::STEP_STATE_FAILED; });
}

std::string ProgressView::Line(const Group& group) const {
  bool ended = Ended(group);
  bool failed = Failed(group);
  bool begun = group.began != absl::InfiniteFuture();
  bool open = !ended && (!begun || finished_);  // not begun yet, or never to be ended
  std::string mark = open     ? Styled("·", Style::kDim, terminal_.err_colour)
                     : failed ? Styled("✗", Style::kRed, terminal_.err_colour)
                     : ended  ? Styled("✔", Style::kGreen, terminal_.err_colour)
                              : Styled(kSpinner[frame_ % std::size(kSpinner)], Style::kCyan, terminal_.err_colour);
  std::string detail;
  if (group.steps.size() == 1) {
    detail = group.steps[0].detail;
  } else {
    std::vector<std::string> names;
    for (const Step& step : group.steps) {
      if (step.state == v1::STEP_STATE_FAILED) {
        names.push_back(Styled(ShortName(step.id, group.name), Style::kRed, terminal_.err_colour));
      } else if (step.state == v1::STEP_STATE_DONE || step.state == v1::STEP_STATE_SKIPPED) {
        names.push_back(ShortName(step.id, group.name));
      } else {
        names.push_back(Styled(ShortName(step.id, group.name), Style::kDim, terminal_.err_colour));
      }
    }
    detail = absl::StrJoin(names, " ");
  }
  std::string time = !begun ? "" : text::HumanDuration(ended ? group.elapsed : absl::Now() - group.began);
  std::string name = group.name;
  name.append(static_cast<size_t>(std::max(1, kNameWidth - text::DisplayWidth(name))), ' ');
  std::string head = absl::StrCat(mark, " ", name);
  int width = std::clamp(terminal_.width, 60, 100);
  int room = width - text::DisplayWidth(head) - text::DisplayWidth(time) - 2;
  detail = text::Truncate(detail, room);
  std::string gap(static_cast<size_t>(std::max(2, room - text::DisplayWidth(detail) + 1)), ' ');
  return absl::StrCat(head, detail, gap, Styled(time, Style::kDim, terminal_.err_colour));
}

void ProgressView::Redraw() {
  std::string out;
  if (drawn_lines_ > 0) {
    absl::StrAppend(&out, "\033[", drawn_lines_, "A");
  }
  out += "\r";
  for (const std::string& message : messages_) {
    absl::StrAppend(&out, "\033[2K", message, "\n");
  }
  messages_.clear();
  for (const Group& group : groups_) {
    absl::StrAppend(&out, "\033[2K", Line(group), "\n");
  }
  out += "\033[J";
  drawn_lines_ = static_cast<int>(groups_.size());
  Write(out);
}

void ProgressView::Show(const v1::ProvisionProgress& progress) {
  std::lock_guard lock(mutex_);
  if (finished_) {
    return;
  }
  if (progress.has_step()) {
    const v1::StepProgress& news = progress.step();
    Group& group = GroupOf(news.group().empty() ? news.id() : news.group());
    auto it = std::find_if(group.steps.begin(), group.steps.end(), [&](const Step& s) { return s.id == news.id(); });
    if (it == group.steps.end()) {
      group.steps.push_back({.id = news.id(), .detail = {}});
      it = group.steps.end() - 1;
    }
    it->state = news.state();
    if (news.state() != v1::STEP_STATE_PENDING && group.began == absl::InfiniteFuture()) {
      group.began = absl::Now();
    }
    if (!news.detail().empty()) {
      it->detail = news.detail();
    }
    group.elapsed = std::max(absl::Now() - group.began, absl::ZeroDuration());
    if (group.steps.size() == 1) {
      absl::Duration told = rpc::ToDuration(news.elapsed());
      group.elapsed = std::max(group.elapsed, told);
    }
  } else if (!progress.message().empty()) {
    messages_.push_back(progress.message());
  }
  if (quiet_) {
    return;
  }
  if (terminal_.err_is_tty) {
    Redraw();
    return;
  }
  for (const std::string& message : messages_) {
    Write(absl::StrCat(message, "\n"));
  }
  messages_.clear();
  if (progress.has_step()) {
    const v1::StepProgress& news = progress.step();
    const char* word = news.state() == v1::STEP_STATE_DONE      ? "done"
                       : news.state() == v1::STEP_STATE_SKIPPED ? "kept"
                       : news.state() == v1::STEP_STATE_FAILED  ? "failed"
                                                                : nullptr;
    if (word != nullptr) {
      absl::Duration elapsed = rpc::ToDuration(news.elapsed());
      Write(absl::StrCat(news.id(), ": ", news.detail().empty() ? word : news.detail(), " (", word, ", ",
                         text::HumanDuration(elapsed), ")\n"));
    }
  }
}

void ProgressView::Tick() {
  std::lock_guard lock(mutex_);
  if (!finished_ && !quiet_ && terminal_.err_is_tty && !groups_.empty()) {
    ++frame_;
    Redraw();
  }
}

void ProgressView::Finish() {
  std::lock_guard lock(mutex_);
  bool draw = !finished_ && !quiet_ && terminal_.err_is_tty && !groups_.empty();
  finished_ = true;
  if (draw) {
    Redraw();
  }
}

}  // namespace mg::cli
