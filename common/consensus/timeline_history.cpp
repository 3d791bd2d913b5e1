#include "common/consensus/timeline_history.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace mg::consensus {

std::vector<LeftTimeline> ParseHistory(absl::string_view history) {
  std::vector<LeftTimeline> all;
  for (absl::string_view line : absl::StrSplit(history, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int number = 0;
    if (words.size() >= 2 && absl::SimpleAtoi(words[0], &number)) {
      all.push_back({.timeline = number,
                     .lsn = std::string(words[1]),
                     .reason = absl::StrJoin(words.begin() + 2, words.end(), " ")});
    }
  }
  return all;
}

}  // namespace mg::consensus
