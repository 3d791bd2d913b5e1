#include "common/cri/cri_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>

namespace mg::logs {
namespace {

constexpr size_t kMaxWaiting = 65536;
constexpr std::int64_t kRetryNanoseconds = 100'000'000;
constexpr std::int64_t kSecondsPerDay = 86400;
constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

std::int64_t Monotonic() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

void PutDigits(char* at, int count, std::int64_t value) {
  for (int i = count - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

constexpr size_t kTimeInName = 26;  // 20261123T160000.123456789Z

struct Civil {
  std::int64_t year, month, day;
};

/// The proleptic Gregorian date of a day after 1970-01-01. gmtime_r would do the same, and bring the time zone files
/// with it.
Civil CivilOf(std::int64_t days) {
  // Years that begin in March have the leap day at their end; 400 of them are an era of 146097 days.
  std::int64_t shifted = days + 719468;  // days after 0000-03-01
  std::int64_t era = shifted / 146097, day_of_era = shifted % 146097;
  std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  std::int64_t march_month = (5 * day_of_year + 2) / 153;
  std::int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  return {.year = era * 400 + year_of_era + (month <= 2 ? 1 : 0),
          .month = month,
          .day = day_of_year - (153 * march_month + 2) / 5 + 1};
}

bool IsRotated(const std::string& name) {
  // Old ones may be compressed: `<time>.log.zst`.
  return name.size() > 20 && name[8] == 'T' && (name.ends_with(".log") || name.find(".log.") != std::string::npos);
}

}  // namespace

const char* Stamper::Set(std::int64_t nanos) {
  std::int64_t second = nanos / kNanosPerSecond;
  if (second != second_) {
    second_ = second;
    Civil date = CivilOf(second_ / kSecondsPerDay);
    std::int64_t rest = second_ % kSecondsPerDay;
    std::memcpy(text_, "0000-00-00T00:00:00.000000000Z", kSize);
    PutDigits(text_, 4, date.year);
    PutDigits(text_ + 5, 2, date.month);
    PutDigits(text_ + 8, 2, date.day);
    PutDigits(text_ + 11, 2, rest / 3600);
    PutDigits(text_ + 14, 2, rest / 60 % 60);
    PutDigits(text_ + 17, 2, rest % 60);
  }
  PutDigits(text_ + 20, 9, nanos % kNanosPerSecond);
  nanos_ = nanos;
  return text_;
}

const char* Stamper::Now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::int64_t nanos = static_cast<std::int64_t>(now.tv_sec) * kNanosPerSecond + now.tv_nsec;
  return Set(nanos <= nanos_ && nanos > nanos_ - kNanosPerSecond ? nanos_ + 1 : nanos);
}

const char* Stamper::Next() {
  char* digit = text_ + 28;
  if (*digit == '9') {
    return Set(nanos_ + 1);
  }
  ++*digit;
  ++nanos_;
  return text_;
}

CriWriter::CriWriter(std::string directory, std::uint64_t max_bytes, int max_files)
    : directory_(std::move(directory)), max_bytes_(max_bytes), max_files_(max_files) {}

CriWriter::~CriWriter() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

int CriWriter::Open() {
  std::string path = directory_ + "/current.log";
  fd_ = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd_ < 0) {
    error_ = errno;
    return error_;
  }
  struct stat info {};
  size_ = ::fstat(fd_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  char last = '\n';
  if (size_ > 0 && ::pread(fd_, &last, 1, static_cast<off_t>(size_ - 1)) == 1 && last != '\n') {
    (void)WriteLines("\n", 1);
  }
  return 0;
}

void CriWriter::Put(Stream stream, bool complete, const char* stamp, const char* text, size_t size) {
  if (kBatch - batched_ < kHead + size + 1) {
    FlushBatch();
  }
  char* at = batch_ + batched_;
  std::memcpy(at, stamp, Stamper::kSize);
  std::memcpy(at + Stamper::kSize, stream == Stream::kStdout ? " stdout " : " stderr ", 8);
  at[kHead - 2] = complete ? 'F' : 'P';
  at[kHead - 1] = ' ';
  std::memcpy(at + kHead, text, size);
  at[kHead + size] = '\n';
  batched_ += kHead + size + 1;
}

void CriWriter::FlushBatch() {
  if (batched_ > 0) {
    Write(batch_, batched_);
    batched_ = 0;
  }
}

void CriWriter::Append(Stream stream, const char* data, size_t size) {
  std::string& pending = pending_[stream == Stream::kStdout ? 0 : 1];
  const char* stamp = stamper_.Now();
  while (size > 0) {
    const char* end = static_cast<const char*>(std::memchr(data, '\n', size));
    size_t take = end != nullptr ? static_cast<size_t>(end - data) : size;
    size_t room = kMaxLine - pending.size();
    bool whole = end != nullptr && take <= room;
    if (take > room) {
      take = room;
    }
    if (pending.empty() && whole) {
      Put(stream, true, stamp, data, take);
      stamp = stamper_.Next();
    } else {
      pending.append(data, take);
      if (whole || pending.size() == kMaxLine) {
        Put(stream, whole, stamp, pending.data(), pending.size());
        stamp = stamper_.Next();
        pending.clear();
      }
    }
    size_t used = take + (whole ? 1 : 0);
    data += used;
    size -= used;
  }
  FlushBatch();
}

void CriWriter::Flush(Stream stream) {
  std::string& pending = pending_[stream == Stream::kStdout ? 0 : 1];
  if (!pending.empty()) {
    Put(stream, true, stamper_.Now(), pending.data(), pending.size());
    pending.clear();
    FlushBatch();
  }
}

void CriWriter::Tidy() {
  for (std::string& pending : pending_) {
    if (pending.empty()) {
      std::string().swap(pending);
    }
  }
  // Of zeroes again when it is next touched: nothing is in it between two calls.
  (void)::madvise(batch_, sizeof batch_, MADV_DONTNEED);
}

/// Bytes that were written: all, or as many whole lines as the disk took.
size_t CriWriter::WriteLines(const char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t n = ::write(fd_, data + done, size - done);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      error_ = n < 0 ? errno : ENOSPC;
      // A half-written line would be read as a whole one. The file's own size counts: somebody may have emptied it.
      const void* last = ::memrchr(data, '\n', done);
      size_t whole = last == nullptr ? 0 : static_cast<size_t>(static_cast<const char*>(last) - data) + 1;
      auto rest = static_cast<off_t>(done - whole);
      struct stat info {};
      if (rest > 0 && ::fstat(fd_, &info) == 0 && info.st_size >= rest && ::ftruncate(fd_, info.st_size - rest) == 0) {
        size_ -= std::min<std::uint64_t>(size_, static_cast<std::uint64_t>(rest));
      }
      return whole;
    }
    done += static_cast<size_t>(n);
    size_ += static_cast<std::uint64_t>(n);
  }
  return size;
}

void CriWriter::Write(const char* lines, size_t size) {
  size_t done = 0;
  bool refused = stalled() && Monotonic() < retry_at_;
  while (!refused && done < size && Retry()) {
    // As many whole lines as the file has room for; a line that is larger than a file gets one of its own.
    std::uint64_t room = size_ < max_bytes_ ? max_bytes_ - size_ : 0;
    const char* from = lines + done;
    size_t fits = size - done;
    if (fits > room) {
      const void* last = room == 0 ? nullptr : ::memrchr(from, '\n', static_cast<size_t>(room));
      if (last == nullptr) {
        if (size_ > 0) {
          Rotate();
          continue;
        }
        last = std::memchr(from, '\n', fits);
      }
      fits = static_cast<size_t>(static_cast<const char*>(last) - from) + 1;
    }
    if (fd_ < 0) {
      break;
    }
    size_t written = WriteLines(from, fits);
    done += written;
    if (written < fits) {
      break;
    }
  }
  if (done < size) {
    KeepWaiting(lines + done, size - done);
  }
}

void CriWriter::KeepWaiting(const char* lines, size_t size) {
  if (!stalled()) {
    retry_at_ = Monotonic() + kRetryNanoseconds;
  }
  waiting_.append(lines, size);
  if (waiting_.size() <= kMaxWaiting) {
    return;
  }
  // Half of it at once, so that a fast writer does not have it moved for every line.
  size_t cut = waiting_.find('\n', waiting_.size() - kMaxWaiting / 2) + 1;
  lost_ += static_cast<std::uint64_t>(
      std::count(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(cut), '\n'));
  waiting_.erase(0, cut);
}

bool CriWriter::Retry() {
  if (!stalled()) {
    return fd_ >= 0 || Open() == 0;
  }
  retry_at_ = Monotonic() + kRetryNanoseconds;
  if (fd_ < 0 && Open() != 0) {
    return false;
  }
  if (lost_ > 0) {
    std::string text = "multigres-shim: " + std::to_string(lost_) +
                       " lines were lost while the log could not be written: " + std::strerror(error_);
    // The time of the first line that was kept: the files stay in the order of time.
    std::string notice = waiting_.size() > Stamper::kSize ? waiting_.substr(0, Stamper::kSize)
                                                          : std::string(stamper_.Now(), Stamper::kSize);
    notice += " stderr F " + text + "\n";
    if (WriteLines(notice.data(), notice.size()) < notice.size()) {
      return false;
    }
    lost_ = 0;
  }
  waiting_.erase(0, WriteLines(waiting_.data(), waiting_.size()));
  if (!waiting_.empty()) {
    return false;
  }
  std::string().swap(waiting_);
  return true;
}

void CriWriter::Rotate() {
  if (fd_ >= 0 && size_ == 0) {
    return;
  }
  std::vector<std::string> rotated = RotatedFiles();
  rotated.push_back(NewName(rotated));
  std::string current = directory_ + "/current.log";
  if (::rename(current.c_str(), (directory_ + "/" + rotated.back()).c_str()) != 0) {
    if (errno != ENOENT || (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST)) {
      size_ = 0;  // goes on in the same file, and tries again after as much as a file may hold
      return;
    }
    rotated.pop_back();  // somebody removed the file, or the directory: begin anew
  }
  int old = fd_;
  if (Open() != 0) {
    fd_ = old;  // the renamed file takes what comes; better than nothing
    size_ = 0;
    return;
  }
  if (old >= 0) {
    ::close(old);
  }
  // Names begin with the time, so that their order is that of time. For a moment a file may be there twice, plain and
  // compressed.
  std::sort(rotated.begin(), rotated.end(), std::greater<>());
  int kept = 0;
  for (size_t i = 0; i < rotated.size(); ++i) {
    kept += i == 0 || rotated[i].compare(0, kTimeInName, rotated[i - 1], 0, kTimeInName) != 0 ? 1 : 0;
    if (kept > max_files_) {
      ::unlink((directory_ + "/" + rotated[i]).c_str());
    }
  }
}

std::vector<std::string> CriWriter::RotatedFiles() const {
  std::vector<std::string> rotated;
  DIR* directory = ::opendir(directory_.c_str());
  while (dirent* entry = directory != nullptr ? ::readdir(directory) : nullptr) {
    if (IsRotated(entry->d_name)) {
      rotated.emplace_back(entry->d_name);
    }
  }
  if (directory != nullptr) {
    ::closedir(directory);
  }
  return rotated;
}

/// `20261123T160000.123456789Z.log`, and behind every other one even when the clock was put back: readers go by names.
std::string CriWriter::NewName(const std::vector<std::string>& rotated) {
  std::string name;
  for (const char* at = stamper_.Now(); name.size() < kTimeInName; ++at) {
    if (*at != '-' && *at != ':') {
      name += *at;
    }
  }
  for (const std::string& other : rotated) {
    if (other.size() < 30 || other.compare(0, kTimeInName, name) < 0) {
      continue;
    }
    // One behind it: counted up like a decimal number, dot and letters left alone.
    name = other.substr(0, kTimeInName);
    for (size_t i = kTimeInName - 1; i-- > 0;) {
      if (name[i] == '9') {
        name[i] = '0';
      } else if (name[i] >= '0' && name[i] < '9') {
        ++name[i];
        break;
      }
    }
  }
  return name + ".log";
}

}  // namespace mg::logs
