#include "common/logs/source_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "common/fs/fs.h"
#include "common/logs/cri.h"
#include "common/logs/last_lines.h"

namespace mg::logs {
namespace {

constexpr char kCurrent[] = "current.log";
constexpr size_t kChunk = 64 << 10;
constexpr size_t kMaxLine = 1 << 20;
constexpr int kAttempts = 8;
constexpr size_t kFlagAt = 38;  // 2026-11-23T16:00:00.123456789Z stdout F text

bool IsRotated(const std::string& name) { return name.size() > 20 && name[8] == 'T' && absl::EndsWith(name, ".log"); }

/// Offset of the first line at or after `since`: lines of a file are in the order of time.
off_t FindTime(int fd, off_t size, absl::Time since) {
  off_t low = 0, high = size;
  char chunk[4096];
  while (low < high) {
    off_t middle = low + (high - low) / 2;
    // The first whole line behind `middle`.
    off_t at = middle;
    absl::Time time = absl::InfiniteFuture();
    off_t line_start = high;
    while (at < high) {
      ssize_t n = ::pread(fd, chunk, sizeof chunk, at);
      if (n <= 0) {
        break;
      }
      absl::string_view text(chunk, static_cast<size_t>(n));
      size_t begin = at == 0 && middle == 0 ? 0 : text.find('\n');
      if (begin != absl::string_view::npos) {
        line_start = at + static_cast<off_t>(at == 0 && middle == 0 ? 0 : begin + 1);
        char head[32];
        ssize_t got = ::pread(fd, head, sizeof head, line_start);
        time = got > 0 ? CriTime(absl::string_view(head, static_cast<size_t>(got))) : absl::InfiniteFuture();
        if (got <= 0) {
          line_start = high;
        }
        break;
      }
      at += n;
    }
    if (line_start >= high || time >= since) {
      high = middle;
    } else {
      low = line_start;
      if (low <= middle) {
        low = middle + 1;
      }
    }
  }
  // `low` may be inside the line before; go to the next line's start unless it is one.
  if (low == 0) {
    return 0;
  }
  off_t at = low - 1;
  while (at < size) {
    ssize_t n = ::pread(fd, chunk, sizeof chunk, at);
    if (n <= 0) {
      break;
    }
    absl::string_view text(chunk, static_cast<size_t>(n));
    size_t end = text.find('\n');
    if (end != absl::string_view::npos) {
      return at + static_cast<off_t>(end) + 1;
    }
    at += n;
  }
  return size;
}

/// The line at `offset` is a part that goes on in a later one.
bool IsPartial(int fd, off_t offset) {
  char head[kFlagAt + 1];
  return ::pread(fd, head, sizeof head, offset) == static_cast<ssize_t>(sizeof head) && head[kFlagAt] == 'P';
}

/// Offset of the last `lines` records, with all their parts; the number found is subtracted from `lines`.
off_t FindTail(int fd, off_t size, int* lines) {
  std::string chunk(kChunk, '\0');
  off_t start = size;  // of the earliest line that was found
  auto take = [&](off_t offset) {
    bool partial = IsPartial(fd, offset);
    if (!partial && *lines == 0) {
      return false;
    }
    start = offset;
    *lines -= partial ? 0 : 1;
    return true;
  };
  bool first = true;
  for (off_t at = size; at > 0;) {
    off_t begin = std::max<off_t>(0, at - static_cast<off_t>(kChunk));
    ssize_t n = ::pread(fd, chunk.data(), static_cast<size_t>(at - begin), begin);
    if (n <= 0) {
      return start;
    }
    for (ssize_t i = n - 1; i >= 0; --i) {
      off_t line = begin + i + 1;
      if (chunk[static_cast<size_t>(i)] != '\n') {
        continue;
      }
      if (first) {
        start = line;  // what follows the last line end is not a line yet, and will be read when it is
        first = false;
      } else if (!take(line)) {
        return start;
      }
    }
    at = begin;
  }
  if (first) {
    return 0;  // not one whole line
  }
  (void)take(0);
  return start;
}

/// Time of the line that ends exactly at `at`; InfinitePast when none does.
absl::Time TimeBefore(int fd, off_t at) {
  // A part may be as long as the writer makes it; the last one has the record's time.
  off_t begin = std::max<off_t>(0, at - static_cast<off_t>(kChunk));
  std::string text(static_cast<size_t>(at - begin), '\0');
  if (at == 0 || ::pread(fd, text.data(), text.size(), begin) != static_cast<ssize_t>(text.size()) ||
      text.back() != '\n') {
    return absl::InfinitePast();
  }
  size_t line = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
  if (line == std::string::npos && begin > 0) {
    return absl::InfinitePast();
  }
  return CriTime(absl::string_view(text).substr(line == std::string::npos ? 0 : line + 1));
}

}  // namespace

ino_t SourceReader::CurrentInode() const {
  struct stat info {};
  return ::stat(JoinPath(source_.directory, kCurrent).c_str(), &info) == 0 ? info.st_ino : 0;
}

std::vector<SourceReader::File> SourceReader::ListOnce() const {
  std::vector<File> files;
  DIR* directory = ::opendir(source_.directory.c_str());
  if (directory == nullptr) {
    return files;
  }
  while (dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    struct stat info {};
    if ((IsRotated(name) || name == kCurrent) && ::fstatat(::dirfd(directory), entry->d_name, &info, 0) == 0) {
      files.push_back({name, info.st_ino, info.st_size});
    }
  }
  ::closedir(directory);
  // Digits sort before 'c': current.log is last.
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.name < b.name; });
  return files;
}

std::vector<SourceReader::File> SourceReader::List() const {
  // A rotation in the middle of the listing may hide the file that gets another name; then it is done again.
  std::vector<File> files;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ino_t before = CurrentInode();
    files = ListOnce();
    if (CurrentInode() == before) {
      break;
    }
  }
  return files;
}

/// Exactly the listed file, even when it has got another name since.
UniqueFd SourceReader::Open(const File& file) const {
  std::string name = file.name;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    UniqueFd fd(::open(JoinPath(source_.directory, name).c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (fd.valid() && ::fstat(fd.get(), &info) == 0 && info.st_ino == file.inode) {
      return fd;
    }
    for (const File& other : List()) {
      name = other.inode == file.inode ? other.name : name;
    }
  }
  return UniqueFd();
}

bool SourceReader::OpenFile(const File& file, off_t offset) {
  UniqueFd fd = Open(file);
  if (!fd.valid()) {
    return false;
  }
  fd_ = std::move(fd);
  inode_ = file.inode;
  buffer_.clear();
  used_ = 0;
  buffer_offset_ = offset;
  next_.reset();
  started_ = true;
  return true;
}

void SourceReader::SeekTime(absl::Time since) {
  std::vector<File> files = List();
  for (const File& file : files) {
    UniqueFd fd = Open(file);
    off_t offset = since == absl::InfinitePast() || !fd.valid() ? 0 : FindTime(fd.get(), file.size, since);
    // The last one is taken in any case: what comes next comes there, or after it.
    if ((offset < file.size || file.name == files.back().name) && OpenFile(file, offset)) {
      return;
    }
  }
}

void SourceReader::SeekTail(int lines) {
  std::vector<File> files = List();
  for (size_t i = files.size(); i-- > 0;) {
    UniqueFd fd = Open(files[i]);
    if (!fd.valid()) {
      continue;
    }
    off_t offset = FindTail(fd.get(), files[i].size, &lines);
    OpenFile(files[i], offset);
    if (lines <= 0) {
      return;
    }
  }
}

void SourceReader::SeekPosition(const Position& position) {
  for (const File& file : List()) {
    if (file.inode == position.inode && file.size >= position.offset && OpenFile(file, position.offset) &&
        TimeBefore(fd_.get(), position.offset) == position.time) {
      return;
    }
  }
  fd_.Reset();
  started_ = false;
  SeekTime(position.time == absl::InfinitePast() ? position.time : position.time + absl::Nanoseconds(1));
}

Position SourceReader::Here() const {
  off_t at = buffer_offset_ + static_cast<off_t>(used_);
  return fd_.valid() ? Position{inode_, at, TimeBefore(fd_.get(), at)} : Position{0, 0, absl::InfinitePast()};
}

/// At the end of the open file: kMore when it has grown, kNext when a later file is open now, else kEnd.
SourceReader::Step SourceReader::NextFile() {
  std::vector<File> files = List();
  size_t next = 0;
  bool found = !started_;
  for (size_t i = 0; i < files.size() && started_; ++i) {
    if (files[i].inode == inode_) {
      next = i + 1;
      found = true;
    }
  }
  if (next >= files.size()) {
    return Step::kEnd;
  }
  // There is a later file, so that the writer has left this one: what it has now is all that it will have. Its last
  // lines may have come between our last read and the listing.
  struct stat info {};
  if (fd_.valid() && ::fstat(fd_.get(), &info) == 0 &&
      info.st_size > buffer_offset_ + static_cast<off_t>(buffer_.size())) {
    return Step::kMore;
  }
  // When what was read is deleted already, everything that is left is newer.
  return OpenFile(files[found ? next : 0], 0) ? Step::kNext : Step::kEnd;
}

bool SourceReader::Fill() {
  if (!fd_.valid() && NextFile() != Step::kNext) {
    return false;
  }
  for (;;) {
    buffer_.erase(0, used_);
    buffer_offset_ += static_cast<off_t>(used_);
    used_ = 0;
    size_t old = buffer_.size();
    buffer_.resize(old + kChunk);
    ssize_t n = ::pread(fd_.get(), buffer_.data() + old, kChunk, buffer_offset_ + static_cast<off_t>(old));
    buffer_.resize(old + (n > 0 ? static_cast<size_t>(n) : 0));
    if (n > 0) {
      return true;
    }
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (buffer_.empty()) {
      std::string().swap(buffer_);
    }
    struct stat info {};
    if (::fstat(fd_.get(), &info) == 0 && info.st_size < buffer_offset_ + static_cast<off_t>(old)) {
      // Somebody emptied it: what is written from now on begins at its start.
      buffer_.clear();
      buffer_offset_ = 0;
      continue;
    }
    if (NextFile() == Step::kEnd) {
      return false;
    }
  }
}

bool SourceReader::ReadLine(std::string* line) {
  size_t searched = used_;
  for (;;) {
    size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      line->assign(buffer_, used_, end - used_);
      used_ = end + 1;
      next_end_ = {inode_, buffer_offset_ + static_cast<off_t>(used_), absl::InfinitePast()};
      return true;
    }
    if (buffer_.size() - used_ > kMaxLine) {
      used_ = buffer_.size();  // not a line of ours
    }
    if (!Fill()) {
      return false;
    }
    searched = used_;
  }
}

const Record* SourceReader::Peek() {
  std::string line;
  while (!next_.has_value() && ReadLine(&line)) {
    CriLine parsed;
    if (!ParseCri(line, &parsed)) {
      continue;
    }
    std::string& partial = partial_[parsed.stream == "stdout" ? 0 : 1];
    if (!parsed.complete && partial.size() < kMaxLine) {
      partial.append(parsed.text.data(), parsed.text.size());
      continue;
    }
    Record record;
    record.time = parsed.time;
    record.source = source_.name;
    record.stream = std::string(parsed.stream);
    record.text = std::move(partial) + std::string(parsed.text);
    partial.clear();
    next_end_.time = record.time;
    next_ = std::move(record);
  }
  return next_.has_value() ? &*next_ : nullptr;
}

Record SourceReader::Take() {
  Record record = *std::move(next_);
  next_.reset();
  return record;
}

std::vector<std::string> LastLinesOfDirectory(const std::string& directory, int count) {
  SourceReader reader({"", directory});
  reader.SeekTail(count);
  std::vector<std::string> lines;
  while (const Record* record = reader.Peek()) {
    lines.push_back(record->text);
    reader.Take();
  }
  if (static_cast<int>(lines.size()) > count) {
    lines.erase(lines.begin(), lines.end() - count);
  }
  return lines;
}

std::vector<std::string> LastLines(const Source& source, int count) {
  return LastLinesOfDirectory(source.directory, count);
}

}  // namespace mg::logs
