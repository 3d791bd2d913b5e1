#include "agentd/logs/runs.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/shim_record/runs.h"
#include "common/status/status.h"

namespace mg::logs {

std::vector<absl::Time> RunsOf(const std::string& log_directory) {
  std::vector<absl::Time> runs;
  absl::StatusOr<std::string> text = ReadFile(JoinPath(log_directory, shim::kRunsFile));
  for (absl::string_view line : absl::StrSplit(text.value_or(""), '\n')) {
    std::int64_t nanos = 0;
    if (absl::SimpleAtoi(line, &nanos) && nanos > 0) {
      runs.push_back(absl::FromUnixNanos(nanos));
    }
  }
  return runs;
}

absl::StatusOr<std::vector<Source>> PreviousRuns(std::vector<Source> sources) {
  std::vector<Source> chosen;
  for (Source& source : sources) {
    std::vector<absl::Time> runs = RunsOf(source.directory);
    if (runs.size() >= 2) {
      source.since = runs[runs.size() - 2];
      source.until = runs.back();
      chosen.push_back(std::move(source));
    }
  }
  if (chosen.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "none of these components had a run before the present one",
                     {.reason = "NO_PREVIOUS_RUN", .hint = "without --previous the logs of all runs are shown"});
  }
  return chosen;
}

}  // namespace mg::logs
