/// How a pooler's record says that it leaves its PostgreSQL alone when that ends: upstream's records have no field for
/// it, so the lifecycle's reason tells it. Pure.
#pragma once

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clustermetadata.pb.h"

namespace mg::topology {

inline constexpr char kRestartsOff[] = "restarts of PostgreSQL are off";

/// The lifecycle's reason, with whatever else it has to say.
inline std::string WithRestartsOff(const std::string& reason) {
  return reason.empty() ? std::string(kRestartsOff) : absl::StrCat(reason, "; ", kRestartsOff);
}

inline bool RestartsAreOff(const clustermetadata::Multipooler& record) {
  return absl::EndsWith(record.lifecycle_status().reason(), kRestartsOff);
}

}  // namespace mg::topology
