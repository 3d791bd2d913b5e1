/// What the tests of the orch's decisions share.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"

namespace mg::multiorch {

inline const absl::Time kNow = absl::FromUnixSeconds(1700000000);

/// The pooler pN in zoneN.
inline clustermetadata::ID Node(int number) {
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIPOOLER);
  id.set_cell("zone" + std::to_string(number));
  id.set_name("p" + std::to_string(number));
  return id;
}

}  // namespace mg::multiorch
