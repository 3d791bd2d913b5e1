#include "agentd/logs/select.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "common/text/selector.h"
#include "common/text/suggest.h"

namespace mg::logs {
absl::StatusOr<std::vector<Source>> SelectSources(const std::vector<Source>& all,
                                                  const std::vector<std::string>& selectors) {
  if (selectors.empty()) {
    return all;
  }
  std::vector<bool> chosen(all.size(), false);
  for (const std::string& selector : selectors) {
    bool any = false;
    for (size_t i = 0; i < all.size(); ++i) {
      if (text::SelectsComponent(selector, all[i].name)) {
        chosen[i] = any = true;
      }
    }
    if (!any) {
      std::vector<std::string> known;
      for (const Source& source : all) {
        const std::vector<std::string> parts = absl::StrSplit(source.name, '/');
        known.push_back(source.name);
        known.insert(known.end(), parts.begin(), parts.end());
      }
      return MakeError(
          absl::StatusCode::kNotFound, absl::StrCat("there is no component ", selector),
          {.reason = "COMPONENT_NOT_FOUND",
           .hint = text::DidYouMean(
               selector, known,
               absl::StrCat("the cluster has ", absl::StrJoin(all, ", ", [](std::string* out, const Source& source) {
                              absl::StrAppend(out, source.name);
                            })))});
    }
  }
  std::vector<Source> sources;
  for (size_t i = 0; i < all.size(); ++i) {
    if (chosen[i]) {
      sources.push_back(all[i]);
    }
  }
  return sources;
}

}  // namespace mg::logs
