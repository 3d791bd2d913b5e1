/// The file that says when a component's runs began: a decimal number of nanoseconds since 1970 in each line, oldest
/// first, beside its logs. One writer: the component's shim. No dependency beyond the C++ library.
#pragma once

#include <cstdint>
#include <string>

namespace mg::shim {

inline constexpr char kRunsFile[] = "runs";

/// Adds a run; of many old ones some are forgotten. 0 or an errno.
int NoteRun(const std::string& log_directory, std::int64_t began_nanoseconds);

}  // namespace mg::shim
