/// Files and directories: atomic replacement, private directories, locks, sizes. Any thread; blocking.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/fs/unique_fd.h"

namespace mg {

/// The whole content of a file. NOT_FOUND when it does not exist.
absl::StatusOr<std::string> ReadFile(const std::string& path);

/// Replaces a file so that a reader or a crash sees the old content or the new one, never a part: temporary file in the
/// same directory, fsync, rename, fsync of the directory. The file has `mode`.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode = 0600);

/// Makes a directory and its missing parents, with `mode` for those it makes. An existing directory keeps its mode.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

/// Makes a directory of ours, or sees to it that one is a real directory (no symlink), owned by this uid, and has just
/// `mode`: what others may do there beyond it is taken away, and what they may is given. PERMISSION_DENIED names the
/// owner when it is somebody else's.
absl::Status EnsurePrivateDirectory(const std::string& path, mode_t mode = 0700);

/// Removes a file or a tree without following symlinks. Nothing there is success.
absl::Status RemoveTree(const std::string& path);

/// Bytes that a file or a tree takes. 0 when there is nothing.
std::uint64_t TreeSize(const std::string& path);

bool Exists(const std::string& path);

/// Joins with exactly one slash.
std::string JoinPath(absl::string_view a, absl::string_view b);
std::string DirName(absl::string_view path);
std::string BaseName(absl::string_view path);

/// Directory of the running program, from /proc/self/exe.
absl::StatusOr<std::string> ExecutableDirectory();

/// An exclusive flock(2) on a file, held as long as the object lives. The holder's pid is written into the file.
class FileLock {
 public:
  /// UNAVAILABLE when another process holds it; the message has the holder's pid. Never waits.
  static absl::StatusOr<FileLock> TryAcquire(const std::string& path);
  FileLock(FileLock&&) = default;
  FileLock& operator=(FileLock&&) = default;

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace mg
