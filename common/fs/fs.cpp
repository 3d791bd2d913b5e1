#include "common/fs/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/status/status.h"

namespace mg {
namespace {

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, absl::StrCat("write ", path));
    }
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("sync directory ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
  std::string content;
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, absl::StrCat("read ", path));
    }
    if (n == 0) {
      return content;
    }
    content.append(buffer, static_cast<size_t>(n));
  }
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  std::string temporary = absl::StrCat(path, ".tmp.XXXXXX");
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("create ", path));
  }
  absl::Status status = WriteAll(fd.get(), content, path);
  if (status.ok() && ::fchmod(fd.get(), mode) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("chmod ", path));
  }
  if (status.ok() && ::fsync(fd.get()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("fsync ", path));
  }
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("rename to ", path));
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(DirName(path));
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  if (path.empty() || path == "/") {
    return absl::OkStatus();
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    return S_ISDIR(info.st_mode) ? absl::OkStatus() : ErrnoStatus(ENOTDIR, absl::StrCat("make directory ", path));
  }
  MG_RETURN_IF_ERROR(MakeDirectories(DirName(path), mode));
  if (::mkdir(path.c_str(), mode) != 0) {
    return errno == EEXIST ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("make directory ", path));
  }
  // mkdir obeys the umask; what the caller asked for holds.
  if (::chmod(path.c_str(), mode) != 0) {
    return ErrnoStatus(errno, absl::StrCat("chmod ", path));
  }
  return absl::OkStatus();
}

absl::Status EnsurePrivateDirectory(const std::string& path, mode_t mode) {
  MG_RETURN_IF_ERROR(MakeDirectories(path, mode));
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  if (!S_ISDIR(info.st_mode)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat(path, " is not a directory"),
                     {.reason = "NOT_A_DIRECTORY", .hint = absl::StrCat("remove ", path)});
  }
  if (info.st_uid != ::geteuid()) {
    const passwd* owner = ::getpwuid(info.st_uid);
    return MakeError(
        absl::StatusCode::kPermissionDenied,
        absl::StrCat("directory ", path, " belongs to ", owner != nullptr ? owner->pw_name : "uid ",
                     owner != nullptr ? "" : absl::StrCat(info.st_uid), ", not to this user"),
        {.reason = "FOREIGN_DIRECTORY", .hint = absl::StrCat("remove ", path, " or choose another place")});
  }
  if ((info.st_mode & 07777) != mode && ::chmod(path.c_str(), mode) != 0) {
    return ErrnoStatus(errno, absl::StrCat("chmod ", path));
  }
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("remove ", path));
  }
  return absl::OkStatus();
}

std::uint64_t TreeSize(const std::string& path) {
  std::error_code error;
  std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  if (error || !std::filesystem::exists(status)) {
    return 0;
  }
  if (std::filesystem::is_regular_file(status)) {
    std::uintmax_t size = std::filesystem::file_size(path, error);
    return error ? 0 : size;
  }
  std::uint64_t total = 0;
  if (std::filesystem::is_directory(status)) {
    std::filesystem::recursive_directory_iterator it(path, std::filesystem::directory_options::skip_permission_denied,
                                                     error);
    for (; !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
      std::error_code ignored;
      if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) {
        std::uintmax_t size = it->file_size(ignored);
        total += ignored ? 0 : size;
      }
    }
  }
  return total;
}

bool Exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

std::string JoinPath(absl::string_view a, absl::string_view b) {
  if (a.empty()) {
    return std::string(b);
  }
  return absl::StrCat(absl::StripSuffix(a, "/"), "/", absl::StripPrefix(b, "/"));
}

std::string DirName(absl::string_view path) {
  size_t slash = path.find_last_of('/');
  if (slash == absl::string_view::npos) {
    return ".";
  }
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string BaseName(absl::string_view path) {
  size_t slash = path.find_last_of('/');
  return std::string(slash == absl::string_view::npos ? path : path.substr(slash + 1));
}

absl::StatusOr<std::string> ExecutableDirectory() {
  std::error_code error;
  std::filesystem::path target = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    return ErrnoStatus(error.value(), "read /proc/self/exe");
  }
  return DirName(target.string());
}

absl::StatusOr<FileLock> FileLock::TryAcquire(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open lock ", path));
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return ErrnoStatus(errno, absl::StrCat("lock ", path));
    }
    absl::StatusOr<std::string> holder = ReadFile(path);
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat(path, " is held by process ", holder.ok() ? *holder : "unknown"),
                     {.reason = "LOCK_HELD"});
  }
  std::string pid = absl::StrCat(::getpid());
  // The lock is held; the pid is for the message above only. So a disk without room for it does not matter, and a
  // former pid is written over, which needs none.
  if (::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0 && errno != ENOSPC && errno != EDQUOT) {
    return ErrnoStatus(errno, absl::StrCat("write ", path));
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(pid.size())) != 0) {
    return ErrnoStatus(errno, absl::StrCat("truncate ", path));
  }
  return FileLock(std::move(fd));
}

}  // namespace mg
