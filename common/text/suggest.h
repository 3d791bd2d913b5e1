/// What to say of a name that is not there. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace mg::text {

/// `did you mean 'zone1'?` where one of the known names is near, else `otherwise`.
std::string DidYouMean(absl::string_view name, const std::vector<std::string>& known, absl::string_view otherwise);

}  // namespace mg::text
