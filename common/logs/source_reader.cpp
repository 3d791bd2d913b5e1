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

/// Offset of the last `lines` lines; their number found, when the file has fewer, is subtracted from `lines`.
off_t FindTail(int fd, off_t size, int* lines) {
  std::string chunk(kChunk, '\0');
  off_t at = size;
  bool last_byte = true;
  while (at > 0) {
    off_t begin = std::max<off_t>(0, at - static_cast<off_t>(kChunk));
    ssize_t n = ::pread(fd, chunk.data(), static_cast<size_t>(at - begin), begin);
    if (n <= 0) {
      return 0;
    }
    for (ssize_t i = n - 1; i >= 0; --i) {
      if (chunk[static_cast<size_t>(i)] != '\n') {
        last_byte = false;
        continue;
      }
      if (last_byte) {
        last_byte = false;
        continue;
      }
      if (--*lines == 0) {
        return begin + i + 1;
      }
    }
    at = begin;
  }
  if (size > 0) {
    --*lines;
  }
  return 0;
}

}  // namespace

std::vector<SourceReader::File> SourceReader::List() const {
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

bool SourceReader::OpenFile(const File& file, off_t offset) {
  UniqueFd fd(::open(JoinPath(source_.directory, file.name).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
    return false;
  }
  fd_ = std::move(fd);
  inode_ = info.st_ino;
  buffer_.clear();
  used_ = 0;
  buffer_offset_ = offset;
  started_ = true;
  return true;
}

void SourceReader::SeekTime(absl::Time since) {
  for (const File& file : List()) {
    UniqueFd fd(::open(JoinPath(source_.directory, file.name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
      continue;
    }
    off_t offset = since == absl::InfinitePast() ? 0 : FindTime(fd.get(), file.size, since);
    if (offset < file.size || file.name == kCurrent) {
      OpenFile(file, offset);
      return;
    }
  }
}

void SourceReader::SeekTail(int lines) {
  std::vector<File> files = List();
  for (size_t i = files.size(); i-- > 0;) {
    UniqueFd fd(::open(JoinPath(source_.directory, files[i].name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
      continue;
    }
    off_t offset = lines == 0 ? files[i].size : FindTail(fd.get(), files[i].size, &lines);
    OpenFile(files[i], offset);
    if (lines <= 0) {
      return;
    }
  }
}

void SourceReader::SeekPosition(ino_t inode, off_t offset) {
  for (const File& file : List()) {
    if (file.inode == inode) {
      OpenFile(file, offset);
      return;
    }
  }
  SeekTime(absl::InfinitePast());
}

bool SourceReader::NextFile() {
  std::vector<File> files = List();
  if (files.empty()) {
    return false;
  }
  if (!started_) {
    return OpenFile(files[0], 0);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].inode == inode_) {
      return i + 1 < files.size() && OpenFile(files[i + 1], 0);
    }
  }
  // What was read is deleted already; everything that is left is newer.
  return OpenFile(files[0], 0);
}

bool SourceReader::Fill() {
  if (!fd_.valid() && !NextFile()) {
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
    // The end of this file; a rotation since the read above cannot have added to it, since the writer renames last.
    struct stat info {};
    if (::fstat(fd_.get(), &info) == 0 && info.st_size > buffer_offset_ + static_cast<off_t>(old)) {
      continue;
    }
    if (!NextFile()) {
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
      next_end_ = {inode_, buffer_offset_ + static_cast<off_t>(used_)};
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
    if (!parsed.complete && partial_.size() < kMaxLine) {
      partial_.append(parsed.text.data(), parsed.text.size());
      continue;
    }
    Record record;
    record.time = parsed.time;
    record.source = source_.name;
    record.stream = std::string(parsed.stream);
    record.text = partial_ + std::string(parsed.text);
    partial_.clear();
    next_ = std::move(record);
  }
  return next_.has_value() ? &*next_ : nullptr;
}

void SourceReader::Take() {
  next_.reset();
  taken_ = next_end_;
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
