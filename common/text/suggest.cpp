#include "common/text/suggest.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/text/text.h"

namespace mg::text {

std::string DidYouMean(absl::string_view name, const std::vector<std::string>& known, absl::string_view otherwise) {
  std::optional<std::string> near = Closest(name, known);
  return near.has_value() ? absl::StrCat("did you mean '", *near, "'?") : std::string(otherwise);
}

}  // namespace mg::text
