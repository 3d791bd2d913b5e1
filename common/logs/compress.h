/// Compressing rotated log files. Any thread, but one call at a time for a directory; blocking.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace mg::logs {

/// Replaces the rotated file `<directory>/<name>` by `<name>.zst` (see log_file.h). At every moment, and after a kill
/// at any, the text is in one of the two, whole: the new one gets its name when it is on disk, and only then the old
/// one goes. True: done; false: there was nothing to do (the writer removed it meanwhile, or may still write to it).
absl::StatusOr<bool> CompressLog(const std::string& directory, const std::string& name);

/// Takes away what a killed CompressLog left half done.
void CleanUpCompression(const std::string& directory);

}  // namespace mg::logs
