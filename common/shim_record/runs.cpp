#include "common/shim_record/runs.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace mg::shim {
namespace {

constexpr size_t kMostBytes = 4096;  // some two hundred runs
constexpr size_t kKeptBytes = 1024;

int Put(const std::string& path, int flags, const char* data, size_t size) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0640);
  if (fd < 0) {
    return errno;
  }
  ssize_t n = ::write(fd, data, size);
  int error = n == static_cast<ssize_t>(size) ? 0 : n < 0 ? errno : ENOSPC;
  ::close(fd);
  return error;
}

}  // namespace

int NoteRun(const std::string& log_directory, std::int64_t began_nanoseconds) {
  std::string path = log_directory + "/" + kRunsFile, line = std::to_string(began_nanoseconds) + "\n";
  char old[kMostBytes + 64];
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? ::read(fd, old, sizeof old) : 0;
  if (fd >= 0) {
    ::close(fd);
  }
  if (n < static_cast<ssize_t>(kMostBytes)) {
    // A line that a full disk cut off is ended, and is none.
    return Put(path, O_APPEND, (n > 0 && old[n - 1] != '\n' ? "\n" + line : line).c_str(),
               line.size() + (n > 0 && old[n - 1] != '\n' ? 1 : 0));
  }
  std::string kept(old + n - kKeptBytes, kKeptBytes);
  kept = kept.substr(kept.find('\n') + 1) + line;
  std::string next = path + ".new";
  int error = Put(next, O_TRUNC, kept.data(), kept.size());
  if (error == 0 && std::rename(next.c_str(), path.c_str()) != 0) {
    error = errno;
  }
  return error;
}

}  // namespace mg::shim
