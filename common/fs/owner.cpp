#include "common/fs/owner.h"

#include <pwd.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg {

absl::Status ChangeOwner(const std::string& path, const std::string& user) {
  if (user.empty()) {
    return absl::OkStatus();
  }
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> buffer;
  int error = getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return error != 0 ? ErrnoStatus(error, absl::StrCat("look up user ", user))
                      : absl::NotFoundError(absl::StrCat("there is no user ", user));
  }
  if (lchown(path.c_str(), entry.pw_uid, entry.pw_gid) != 0) {
    return ErrnoStatus(errno, absl::StrCat("give ", path, " to ", user));
  }
  return absl::OkStatus();
}

}  // namespace mg
