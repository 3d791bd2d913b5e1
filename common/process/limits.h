/// This process's own limits.
#pragma once

namespace mg {

/// Raises the soft limit of open files to the hard one, for servers that hold a descriptor or two per client. Programs
/// that they start inherit it. Without success the old limit stays.
void RaiseFileLimit();

}  // namespace mg
