#include "agentd/store/component_name.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"

namespace mg::store {

const std::vector<std::string>& AllKinds() {
  static const auto* kinds =
      new std::vector<std::string>{kEtcd, kMultiadmin, kPgctld, kPostgres, kMultipooler, kMultiorch, kMultigateway};
  return *kinds;
}

bool IsPerCell(const std::string& kind) { return kind != kEtcd && kind != kMultiadmin; }

std::string ComponentName::Place() const { return database.empty() ? cell : absl::StrCat(cell, "/", database); }

std::string ComponentName::ToString() const { return cell.empty() ? kind : absl::StrCat(kind, "/", Place()); }

absl::StatusOr<ComponentName> ComponentName::Parse(const std::string& text) {
  std::vector<std::string> parts = absl::StrSplit(text, '/');
  const std::vector<std::string>& kinds = AllKinds();
  if (std::find(kinds.begin(), kinds.end(), parts[0]) == kinds.end()) {
    return MakeError(
        absl::StatusCode::kNotFound, absl::StrCat("there is no component '", text, "'"),
        {.reason = "COMPONENT_NOT_FOUND",
         .hint = absl::StrCat("kinds are ", absl::StrJoin(kinds, ", "), "; names look like multipooler/zone1")});
  }
  bool well_formed = IsPerCell(parts[0]) ? parts.size() == 2 || parts.size() == 3 : parts.size() == 1;
  if (!well_formed || std::any_of(parts.begin(), parts.end(), [](const std::string& p) { return p.empty(); })) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", text, "' does not name one component"),
                     {.reason = "COMPONENT_NAME",
                      .hint = IsPerCell(parts[0]) ? absl::StrCat("say which cell, such as ", parts[0], "/zone1")
                                                  : absl::StrCat("there is one ", parts[0], ", and it has no cell")});
  }
  parts.resize(3);
  return ComponentName{.kind = parts[0], .cell = parts[1], .database = parts[2]};
}

std::vector<ComponentName> ComponentsOf(const std::vector<std::string>& cells) {
  std::vector<ComponentName> names = {{.kind = kEtcd}, {.kind = kMultiadmin}};
  for (const std::string& cell : cells) {
    for (const char* kind : {kPgctld, kPostgres, kMultipooler, kMultiorch, kMultigateway}) {
      names.push_back({.kind = kind, .cell = cell});
    }
  }
  return names;
}

}  // namespace mg::store
