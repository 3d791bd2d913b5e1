/// How a pooler's record says that a person has taken it out of service: upstream's DISABLED ("not brought back
/// automatically") with a reason. Pure.
#pragma once

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clustermetadata.pb.h"

namespace mg::topology {

inline constexpr char kDrained[] = "drained";

/// For the lifecycle's reason.
inline std::string DrainedReason(const std::string& why) {
  return why.empty() ? std::string(kDrained) : absl::StrCat(kDrained, ": ", why);
}

inline bool IsDrained(const clustermetadata::Multipooler& record) {
  const std::string& reason = record.lifecycle_status().reason();
  return reason == kDrained || absl::StartsWith(reason, absl::StrCat(kDrained, ": ")) ||
         absl::StartsWith(reason, absl::StrCat(kDrained, "; "));  // and something else
}

}  // namespace mg::topology
