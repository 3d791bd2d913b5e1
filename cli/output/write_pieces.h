/// Writing to a descriptor without gathering. Any thread; blocks, also where the descriptor is non-blocking.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"

namespace mg::cli {

/// Writes all of the pieces; 0, or the error number of what stopped it.
int WritePieces(int fd, const std::vector<absl::string_view>& pieces);

}  // namespace mg::cli
