#include "common/log/file_sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"

namespace mg::log {
namespace {

bool LacksRoom(int error_number) { return error_number == ENOSPC || error_number == EDQUOT; }

}  // namespace

int FileSink::Reopen() {
  file_.Reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file_.valid()) {
    return errno;
  }
  struct stat info {};
  size_ = 0;
  torn_ = false;
  if (::fstat(file_.get(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    size_ = static_cast<std::uint64_t>(info.st_size);
    // The process before may have found no room for the end of a record.
    UniqueFd reader(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    char last = '\n';
    torn_ = ::pread(reader.get(), &last, 1, info.st_size - 1) == 1 && last != '\n';
  }
  return 0;
}

absl::Status FileSink::Open() {
  int error = Reopen();
  if (error == ENOENT && MakeDirectories(DirName(path_), 0755).ok()) {
    error = Reopen();
  }
  if (error != 0 && !LacksRoom(error)) {
    return absl::PermissionDeniedError(absl::StrCat("open log ", path_, ": ", std::strerror(error)));
  }
  return absl::OkStatus();
}

/// As spdlog names them: x.log, x.1.log, x.2.log.
std::string FileSink::Renamed(int number) const {
  size_t dot = path_.rfind('.');
  size_t slash = path_.rfind('/');
  size_t name = slash == std::string::npos ? 0 : slash + 1;
  if (number == 0) {
    return path_;
  }
  if (dot == std::string::npos || dot <= name) {
    return absl::StrCat(path_, ".", number);
  }
  return absl::StrCat(path_.substr(0, dot), ".", number, path_.substr(dot));
}

void FileSink::Rotate() {
  for (int number = rotate_keep_; number > 0; --number) {
    (void)::rename(Renamed(number - 1).c_str(), Renamed(number).c_str());
  }
  // Without anything to keep, or when the rename was refused: the bound holds all the same.
  (void)::truncate(path_.c_str(), 0);
  file_.Reset();
}

int FileSink::WriteWhole(absl::string_view line) {
  while (!line.empty()) {
    ssize_t count = ::write(file_.get(), line.data(), line.size());
    if (count < 0 && errno != EINTR) {
      return errno;
    }
    if (count > 0) {
      size_ += static_cast<std::uint64_t>(count);
      line.remove_prefix(static_cast<size_t>(count));
      torn_ = !line.empty();
    }
  }
  return 0;
}

void FileSink::Lose(int error_number) {
  // Once each time that it begins: a line per record would fill another place.
  if (lost_++ == 0) {
    std::fprintf(stderr, "the log %s cannot be written, records are lost: %s\n", path_.c_str(),
                 std::strerror(error_number));
  }
}

void FileSink::sink_it_(const spdlog::details::log_msg& record) {
  spdlog::memory_buf_t formatted;
  formatter_->format(record, formatted);
  if (rotate_bytes_ > 0 && size_ > 0 && size_ + formatted.size() > rotate_bytes_) {
    Rotate();
  }
  int error = file_.valid() ? 0 : Reopen();
  if (error == 0) {
    // In one call where all is well, so that two writers of one file do not mix their lines.
    std::string line = absl::StrCat(torn_ ? "\n" : "", lost_ > 0 ? lost_line_(lost_) : "",
                                    absl::string_view(formatted.data(), formatted.size()));
    error = WriteWhole(line);
  }
  if (error != 0) {
    Lose(error);
  } else {
    lost_ = 0;
  }
}

}  // namespace mg::log
