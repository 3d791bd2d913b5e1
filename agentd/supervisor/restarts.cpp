#include "agentd/supervisor/restarts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace mg::supervisor {

RestartPolicy ParseRestartPolicy(const std::string& word) {
  return word == "never"        ? RestartPolicy::kNever
         : word == "on-failure" ? RestartPolicy::kOnFailure
                                : RestartPolicy::kAlways;
}

Decision RestartHistory::Decide(RestartPolicy policy, const End& end, absl::Time now, double random) {
  ends_.push_back(now);
  while (now - ends_.front() > kLoopWindow) {
    ends_.pop_front();
  }
  row_ = end.ran >= kHealthySpell ? 0 : row_;
  int before = row_++;
  if (!end.permanent_cause.empty()) {
    return {.verdict = Verdict::kLeave, .reason = end.permanent_cause};
  }
  if (policy == RestartPolicy::kNever || (policy == RestartPolicy::kOnFailure && !end.failed)) {
    return {.verdict = Verdict::kLeave,
            .reason = policy == RestartPolicy::kNever ? "its restart policy is never"
                                                      : "it ended well, and its restart policy is on-failure"};
  }
  if (static_cast<int>(ends_.size()) >= kLoopEnds) {
    return {.verdict = Verdict::kCrashLoop,
            .delay = kLoopPause / 2 + kLoopPause / 2 * random,
            .reason = absl::StrCat("it ended ", ends_.size(), " times within ", absl::FormatDuration(kLoopWindow))};
  }
  if (before == 0) {
    return {};
  }
  absl::Duration ceiling =
      std::min(kBackoffCeiling, kFirstCeiling * static_cast<double>(1 << std::min(before - 1, 10)));
  return {.delay = ceiling * random};
}

void RestartHistory::Reset() {
  ends_.clear();
  row_ = 0;
}

}  // namespace mg::supervisor
