#include "components/multiadmin/auth/role.h"

namespace mg::multiadmin {

absl::string_view RoleWord(Role role) {
  switch (role) {
    case multigres::admin::v1::ROLE_VIEWER:
      return "viewer";
    case multigres::admin::v1::ROLE_OPERATOR:
      return "operator";
    case multigres::admin::v1::ROLE_ADMIN:
      return "admin";
    default:
      return "nobody";
  }
}

Role ParseRole(absl::string_view word) {
  for (Role role :
       {multigres::admin::v1::ROLE_VIEWER, multigres::admin::v1::ROLE_OPERATOR, multigres::admin::v1::ROLE_ADMIN}) {
    if (word == RoleWord(role)) {
      return role;
    }
  }
  return multigres::admin::v1::ROLE_UNSPECIFIED;
}

}  // namespace mg::multiadmin
