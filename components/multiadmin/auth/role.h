/// The roles of the Admin API, in order: each may do what those before it may. Pure; any thread.
#pragma once

#include "absl/strings/string_view.h"
#include "multigres/admin/v1/identity.pb.h"

namespace mg::multiadmin {

using Role = multigres::admin::v1::Role;

/// viewer, operator or admin.
absl::string_view RoleWord(Role role);
/// The reverse; ROLE_UNSPECIFIED for any other word.
Role ParseRole(absl::string_view word);

}  // namespace mg::multiadmin
