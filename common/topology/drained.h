/// How a pooler's record says that a person has taken it out of service: upstream's DISABLED ("not brought back
/// automatically") with a reason. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clustermetadata.pb.h"

namespace mg::topology {

inline constexpr char kDrained[] = "drained";

/// For the lifecycle's reason.
inline std::string DrainedReason(const std::string& why) {
  return why.empty() ? std::string(kDrained) : absl::StrCat(kDrained, ": ", why);
}

/// INVALID_ARGUMENT for what would do more than to be read where it is shown: control characters, line ends among them.
inline absl::Status CheckDrainReason(const std::string& why) {
  for (size_t i = 0; i < why.size(); ++i) {
    const auto byte = static_cast<unsigned char>(why[i]);
    // U+0080 to U+009F are such too: some terminals obey them.
    const bool c1 = byte == 0xc2 && i + 1 < why.size() && static_cast<unsigned char>(why[i + 1]) < 0xa0;
    if (byte < 0x20 || byte == 0x7f || c1) {
      return absl::InvalidArgumentError("the reason of a drain has a control character: it is one line of plain text");
    }
  }
  return absl::OkStatus();
}

inline bool IsDrained(const clustermetadata::Multipooler& record) {
  const std::string& reason = record.lifecycle_status().reason();
  return reason == kDrained || absl::StartsWith(reason, absl::StrCat(kDrained, ": ")) ||
         absl::StartsWith(reason, absl::StrCat(kDrained, "; "));  // and something else
}

}  // namespace mg::topology
