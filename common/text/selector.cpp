#include "common/text/selector.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"

namespace mg::text {

bool SelectsComponent(const std::string& word, const std::string& component) {
  std::vector<std::string> parts = absl::StrSplit(component, '/');
  return word == component || std::find(parts.begin(), parts.end(), word) != parts.end();
}

}  // namespace mg::text
