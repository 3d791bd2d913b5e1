/// How messages of the Admin API name a pooler.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "clustermetadata.pb.h"

namespace mg::multiadmin {

/// CELL/NAME.
inline std::string Label(const clustermetadata::ID& id) { return absl::StrCat(id.cell(), "/", id.name()); }

}  // namespace mg::multiadmin
