#include "agentd/provisioners/local/named.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "agentd/store/component_name.h"
#include "common/status/status.h"
#include "common/text/suggest.h"

namespace mg::local {

absl::StatusOr<const v1::ComponentSpec*> Named(const Model& model, const std::string& component) {
  const v1::ComponentSpec* spec = model.Find(component);
  if (spec != nullptr) {
    return spec;
  }
  if (absl::Status form = store::ComponentName::Parse(component).status(); absl::IsInvalidArgument(form)) {
    return form;
  }
  std::vector<std::string> known;
  for (const v1::ComponentSpec& one : model.specs) {
    known.push_back(one.name());
  }
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("cluster ", model.place.name, " has no component ", component),
                   {.reason = "COMPONENT_NOT_FOUND",
                    .hint = text::DidYouMean(component, known, "'multigres status' lists them"),
                    .subject = component});
}

}  // namespace mg::local
