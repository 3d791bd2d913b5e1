/// Taking the space of a file system away, by a file. Only a small file system of its own is ever filled to the brim.
/// Any thread; blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace mg::local {

/// What a file system is, as far as it matters for filling it.
struct FileSystemFacts {
  std::string mount_point, type, source;  ///< as /proc/self/mountinfo has them
  std::uint64_t total = 0, free = 0;      ///< bytes; free for root too
};

absl::StatusOr<FileSystemFacts> FactsOf(const std::string& path);

/// Whether a file of at most `most_bytes` (0: all that is free) may be written. FAILED_PRECONDITION, with the reason
/// and what to do instead: to fill a file system it must be a tmpfs or on a loop device, not the root, and at most 10
/// GiB; elsewhere a bound is needed that leaves 2 GiB and a tenth of it free. Pure.
absl::Status MayFill(const FileSystemFacts& facts, std::uint64_t most_bytes);

/// Makes the file grow until the file system is full, the bound is reached (0: none) or `stop` says so. How much it
/// took.
absl::StatusOr<std::uint64_t> FillDisk(const std::string& file, std::uint64_t most_bytes,
                                       const std::function<bool()>& stop);

}  // namespace mg::local
