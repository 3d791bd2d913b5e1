#include "agentd/provisioners/local/orphans.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/shim_protocol/orphans.h"

namespace mg::local {

absl::Status EndOrphansBelow(const std::string& directory, const std::function<void(const std::string&)>& say) {
  std::vector<shim::Orphan> orphans = shim::FindOrphans(directory);
  if (orphans.empty()) {
    return absl::OkStatus();
  }
  if (say) {
    say(absl::StrCat(orphans.size(), " components ran on though their state directory below ", directory,
                     " was deleted; they are ended"));
  }
  return shim::EndOrphans(orphans);
}

}  // namespace mg::local
