/// State files are written whole and atomically, but a disk or a person may break one all the same. Beside each stands
/// the version before it, at the price of a link. Any thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace mg::store {

/// <path>.previous
std::string PreviousOf(const std::string& path);

/// Replaces the file as WriteFileAtomically does; what it was is its previous version from then on, unless it is known
/// to be broken. The first version is written twice, so that there is always another one.
absl::Status WriteKeepingPrevious(const std::string& path, const std::string& text, mode_t mode, bool broken);

}  // namespace mg::store
