/// Giving files to the user that a server runs as. Any thread; blocking (looks the user up).
#pragma once

#include <string>

#include "absl/status/status.h"

namespace mg {

/// Gives a path, not what a symlink there points to, to `user` and its group. Empty: nothing to do. NOT_FOUND: there is
/// no such user.
absl::Status ChangeOwner(const std::string& path, const std::string& user);

}  // namespace mg
