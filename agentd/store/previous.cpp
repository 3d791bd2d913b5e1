#include "agentd/store/previous.h"

#include <unistd.h>

#include <cstdio>

#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::store {

std::string PreviousOf(const std::string& path) { return path + ".previous"; }

absl::Status WriteKeepingPrevious(const std::string& path, const std::string& text, mode_t mode, bool broken) {
  std::string link = path + ".link";
  (void)::unlink(link.c_str());
  // What fails here leaves the older version.
  if (!broken && ::link(path.c_str(), link.c_str()) == 0) {
    (void)::rename(link.c_str(), PreviousOf(path).c_str());
    (void)::unlink(link.c_str());  // rename leaves it where both are the same file
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, text, mode));
  return Exists(PreviousOf(path)) ? absl::OkStatus() : WriteFileAtomically(PreviousOf(path), text, mode);
}

}  // namespace mg::store
