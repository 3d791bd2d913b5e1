/// Shims that nobody can reach: somebody deleted the run directory under them. Any thread; reads /proc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/process/process_id.h"

namespace mg::shim {

struct Orphan {
  ProcessId shim;
  std::string run_dir;  ///< the one it was started for; deleted, or by now another shim's
};

/// This user's orphans whose run directory was `below` this path; "": all. One that answers for its directory, though
/// files of it are missing, is none.
std::vector<Orphan> FindOrphans(const std::string& below);

/// Ends them and their components: asked first, all at once, killed after 10 s. Returns when they are gone.
/// DEADLINE_EXCEEDED when one cannot be ended (a process in an uninterruptible wait).
absl::Status EndOrphans(const std::vector<Orphan>& orphans);

}  // namespace mg::shim
