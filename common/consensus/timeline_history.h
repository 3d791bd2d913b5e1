/// PostgreSQL's history files, which tell how a timeline came about (source: timeline.c, writeTimeLineHistory). Pure
/// functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace mg::consensus {

/// One line of a history file.
struct LeftTimeline {
  int timeline = 0;
  std::string lsn;     ///< where the next one left it
  std::string reason;  ///< PostgreSQL's words for why
};

/// The lines of a history file, oldest first; what is no such line (a comment) is left out.
std::vector<LeftTimeline> ParseHistory(absl::string_view history);

}  // namespace mg::consensus
