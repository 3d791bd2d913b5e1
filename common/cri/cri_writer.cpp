#include "common/cri/cri_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

namespace mg::logs {
namespace {

constexpr size_t kMaxLine = 16384;
constexpr size_t kMaxWaiting = 65536;

/// `2026-11-23T16:00:00.123456789Z`, or without separators for a file's name.
size_t FormatNow(char* out, size_t room, bool compact) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  int n = std::snprintf(
      out, room, compact ? "%04d%02d%02dT%02d%02d%02d.%09ldZ" : "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ",
      parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec);
  return n < 0 ? 0 : static_cast<size_t>(n);
}

}  // namespace

CriWriter::CriWriter(std::string directory, std::uint64_t max_bytes, int max_files)
    : directory_(std::move(directory)), max_bytes_(max_bytes), max_files_(max_files) {}

CriWriter::~CriWriter() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

int CriWriter::Open() {
  std::string path = directory_ + "/current.log";
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd_ < 0) {
    return errno;
  }
  struct stat info {};
  size_ = ::fstat(fd_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  return 0;
}

void CriWriter::Record(std::string* out, Stream stream, bool complete, const char* text, size_t size) {
  char time[48];
  size_t n = FormatNow(time, sizeof time, false);
  out->append(time, n);
  out->append(stream == Stream::kStdout ? " stdout " : " stderr ");
  out->append(complete ? "F " : "P ");
  out->append(text, size);
  out->push_back('\n');
}

void CriWriter::Append(Stream stream, const char* data, size_t size) {
  std::string& pending = pending_[stream == Stream::kStdout ? 0 : 1];
  std::string lines;
  while (size > 0) {
    const char* end = static_cast<const char*>(std::memchr(data, '\n', size));
    size_t take = end != nullptr ? static_cast<size_t>(end - data) : size;
    size_t room = kMaxLine - pending.size();
    bool whole = end != nullptr && take <= room;
    if (take > room) {
      take = room;
    }
    if (pending.empty() && whole) {
      Record(&lines, stream, true, data, take);
    } else {
      pending.append(data, take);
      if (whole || pending.size() == kMaxLine) {
        Record(&lines, stream, whole, pending.data(), pending.size());
        pending.clear();
      }
    }
    size_t used = take + (whole ? 1 : 0);
    data += used;
    size -= used;
  }
  if (pending.empty()) {
    std::string().swap(pending);  // an idle shim holds no buffer
  }
  if (!lines.empty()) {
    Write(lines);
  }
}

void CriWriter::Flush(Stream stream) {
  std::string& pending = pending_[stream == Stream::kStdout ? 0 : 1];
  if (!pending.empty()) {
    std::string line;
    Record(&line, stream, true, pending.data(), pending.size());
    pending.clear();
    Write(line);
  }
}

bool CriWriter::WriteAll(const char* data, size_t size) {
  off_t before = static_cast<off_t>(size_);
  while (size > 0) {
    ssize_t n = ::write(fd_, data, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      // A half-written line would be read as a whole one.
      if (::ftruncate(fd_, before) == 0) {
        size_ = static_cast<std::uint64_t>(before);
      }
      return false;
    }
    data += n;
    size -= static_cast<size_t>(n);
    size_ += static_cast<std::uint64_t>(n);
  }
  return true;
}

void CriWriter::Write(const std::string& lines) {
  size_t done = 0;
  while (done < lines.size() && Retry()) {
    // As many whole lines as the file has room for; a line that is larger than a file gets one of its own.
    std::uint64_t room = size_ < max_bytes_ ? max_bytes_ - size_ : 0;
    size_t end = lines.size();
    if (lines.size() - done > room) {
      size_t fits = room == 0 ? std::string::npos : lines.rfind('\n', done + static_cast<size_t>(room) - 1);
      if (fits == std::string::npos || fits < done) {
        if (size_ > 0) {
          Rotate();
          continue;
        }
        fits = lines.find('\n', done);
      }
      end = fits + 1;
    }
    if (fd_ < 0 || !WriteAll(lines.data() + done, end - done)) {
      break;
    }
    done = end;
  }
  if (done == lines.size()) {
    return;
  }
  waiting_.append(lines, done, std::string::npos);
  while (waiting_.size() > kMaxWaiting) {
    size_t end = waiting_.find('\n');
    waiting_.erase(0, end == std::string::npos ? waiting_.size() : end + 1);
    ++lost_;
  }
}

bool CriWriter::Retry() {
  if (!stalled()) {
    return fd_ >= 0 || Open() == 0;
  }
  if (fd_ < 0 && Open() != 0) {
    return false;
  }
  std::string notice;
  if (lost_ > 0) {
    std::string text = "multigres-shim: " + std::to_string(lost_) + " lines were lost: the disk was full";
    Record(&notice, Stream::kStderr, true, text.data(), text.size());
  }
  std::string all = notice + waiting_;
  if (!WriteAll(all.data(), all.size())) {
    return false;
  }
  std::string().swap(waiting_);
  lost_ = 0;
  return true;
}

void CriWriter::Rotate() {
  char time[48];
  FormatNow(time, sizeof time, true);
  std::string current = directory_ + "/current.log";
  std::string rotated = directory_ + "/" + time + ".log";
  if (::rename(current.c_str(), rotated.c_str()) != 0) {
    size_ = 0;  // goes on in the same file, and tries again after as much as a file may hold
    return;
  }
  int old = fd_;
  fd_ = -1;
  if (Open() != 0) {
    fd_ = old;  // the renamed file takes what comes; better than nothing
    size_ = 0;
    return;
  }
  ::close(old);
  RemoveOldFiles();
}

void CriWriter::RemoveOldFiles() {
  DIR* directory = ::opendir(directory_.c_str());
  if (directory == nullptr) {
    return;
  }
  std::vector<std::string> rotated;
  while (dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    // Names begin with the time, so that their order is that of time; old ones may be compressed.
    if (name.size() > 20 && name[8] == 'T' && (name.ends_with(".log") || name.find(".log.") != std::string::npos)) {
      rotated.push_back(name);
    }
  }
  ::closedir(directory);
  while (static_cast<int>(rotated.size()) > max_files_) {
    size_t oldest = 0;
    for (size_t i = 1; i < rotated.size(); ++i) {
      if (rotated[i] < rotated[oldest]) {
        oldest = i;
      }
    }
    ::unlink((directory_ + "/" + rotated[oldest]).c_str());
    rotated.erase(rotated.begin() + static_cast<std::ptrdiff_t>(oldest));
  }
}

}  // namespace mg::logs
