#include "common/logs/source_reader.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "common/fs/fs.h"
#include "common/logs/last_lines.h"
#include "common/logs/seek.h"

namespace mg::logs {
namespace {

constexpr size_t kChunk = 64 << 10;
constexpr size_t kMaxLine = 1 << 20;
constexpr int kAttempts = 8;

}  // namespace

ino_t SourceReader::CurrentInode() const {
  struct stat info {};
  return ::stat(JoinPath(source_.directory, kCurrentLog).c_str(), &info) == 0 ? info.st_ino : 0;
}

std::vector<SourceReader::File> SourceReader::ListOnce() {
  std::vector<File> files;
  std::map<std::string, ino_t> compressed;
  DIR* directory = ::opendir(source_.directory.c_str());
  if (directory == nullptr) {
    return files;
  }
  while (dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    struct stat info {};
    if (IsCompressedLog(name)) {
      auto known = compressed_.find(name);
      if (known == compressed_.end()) {
        LogFile file = LogFile::Open(JoinPath(source_.directory, name));
        known = compressed_.emplace(name, file.valid() ? file.inode() : 0).first;
      }
      compressed.insert(*known);
      if (known->second != 0) {
        files.push_back({name, known->second});
      }
    } else if ((IsRotatedLog(name) || name == kCurrentLog) &&
               ::fstatat(::dirfd(directory), entry->d_name, &info, 0) == 0) {
      files.push_back({name, info.st_ino});
    }
  }
  ::closedir(directory);
  compressed_.swap(compressed);
  // Digits sort before 'c': current.log is last. The plain form comes right before the compressed one.
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.name < b.name; });
  files.erase(std::unique(files.begin(), files.end(),
                          [](const File& plain, const File& other) {
                            return other.name == plain.name + kCompressedSuffix && other.inode == plain.inode;
                          }),
              files.end());
  return files;
}

std::vector<SourceReader::File> SourceReader::List() {
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
LogFile SourceReader::Open(const File& file) {
  std::string name = file.name;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    LogFile opened = LogFile::Open(JoinPath(source_.directory, name));
    if (opened.valid() && opened.inode() == file.inode) {
      name_ = name;
      return opened;
    }
    for (const File& other : List()) {
      name = other.inode == file.inode ? other.name : name;
    }
  }
  return LogFile();
}

bool SourceReader::Begin(LogFile file, off_t offset) {
  if (!file.valid()) {
    return false;
  }
  file_ = std::move(file);
  file_name_ = name_;
  begin_ = end_of_buffer_ = 0;
  buffer_offset_ = offset;
  have_ = false;
  started_ = true;
  return true;
}

/// As Begin, at a place that has nothing to do with the one before.
bool SourceReader::Seek(LogFile file, off_t offset) {
  partial_[0].clear();
  partial_[1].clear();
  return Begin(std::move(file), offset);
}

void SourceReader::SeekTime(std::int64_t since) {
  std::vector<File> files = List();
  // The last file that begins too early has the place, or it is the next one's beginning.
  size_t first = 0;
  if (since != kNoTime) {
    size_t low = 0, high = files.size();
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      LogFile file = Open(files[middle]);
      char head[kStampSize];
      ssize_t n = file.valid() ? file.Read(head, sizeof head, 0) : 0;
      std::int64_t time = CriTime(absl::string_view(head, static_cast<size_t>(std::max<ssize_t>(n, 0))));
      if (time == kNoTime && middle + 1 < files.size()) {
        low = high = first = 0;  // an empty or torn one: look into each
      } else if (time != kNoTime && time < since) {
        first = middle;
        low = middle + 1;
      } else {
        high = middle;
      }
    }
  }
  for (size_t i = first; i < files.size(); ++i) {
    LogFile file = Open(files[i]);
    if (!file.valid()) {
      continue;
    }
    off_t size = file.Size();
    off_t offset = since == kNoTime ? 0 : FindTime(file, size, since);
    // The last one is taken in any case: what comes next comes there, or after it.
    if ((offset < size || i + 1 == files.size()) && Seek(std::move(file), offset)) {
      return;
    }
  }
}

bool SourceReader::SeekTail(int lines) {
  std::vector<File> files = List();
  for (size_t i = files.size(); i-- > 0;) {
    LogFile file = Open(files[i]);
    if (!file.valid()) {
      continue;
    }
    off_t offset = FindTail(file, file.Size(), &lines);
    Seek(std::move(file), offset);
    if (lines <= 0) {
      return i == 0 && offset == 0;
    }
  }
  return true;
}

void SourceReader::SeekPosition(const Position& position) {
  for (const File& listed : List()) {
    if (listed.inode != position.inode) {
      continue;
    }
    LogFile file = Open(listed);
    if (file.valid() && file.Size() >= position.offset && TimeBefore(file, position.offset) == position.nanos &&
        Seek(std::move(file), position.offset)) {
      return;
    }
  }
  file_ = LogFile();
  started_ = false;
  SeekTime(position.nanos == kNoTime ? kNoTime : position.nanos + 1);
  // What is left begins after it.
  gap_ = position.nanos != kNoTime && file_.valid() && buffer_offset_ == 0 && file_.inode() == List().front().inode;
}

Position SourceReader::Here() {
  off_t at = buffer_offset_ + static_cast<off_t>(begin_);
  return file_.valid() ? Position{file_.inode(), at, TimeBefore(file_, at)} : Position{};
}

/// Where the open file stands in a listing; its size when it is in none.
size_t SourceReader::Find(const std::vector<File>& files) const {
  size_t found = files.size();
  for (size_t i = 0; i < files.size(); ++i) {
    // The number of a file that is open and plain is nobody else's. But a compressed one only keeps the number that the
    // plain one had, which may have passed to another file since: the last such one is ours, or the one of our name.
    bool same_name = absl::StartsWith(file_name_, files[i].name) || absl::StartsWith(files[i].name, file_name_);
    if (files[i].inode == file_.inode() && (!IsCompressedLog(file_name_) || same_name)) {
      found = i;
      if (!IsCompressedLog(files[i].name)) {
        break;
      }
    }
  }
  return found;
}

/// At the end of the open file: kMore when it has grown, kNext when a later file is open now, else kEnd.
SourceReader::Step SourceReader::NextFile() {
  if (file_.valid() && !IsCompressedLog(file_name_) && CurrentInode() == file_.inode()) {
    return Step::kEnd;  // the usual case, without a listing
  }
  std::vector<File> files = List();
  size_t at = started_ ? Find(files) : files.size();
  // When what was read is deleted already, everything that is left is newer.
  size_t next = at < files.size() ? at + 1 : 0;
  if (next >= files.size()) {
    return Step::kEnd;
  }
  // There is a later file, so that the writer has left this one: what it has now is all that it will have. Its last
  // lines may have come between our last read and the listing.
  if (file_.valid() && file_.Size() > buffer_offset_ + static_cast<off_t>(end_of_buffer_)) {
    return Step::kMore;
  }
  bool lost = started_ && at == files.size();
  if (!Begin(Open(files[next]), 0)) {
    return Step::kEnd;
  }
  gap_ |= lost;
  return Step::kNext;
}

bool SourceReader::Fill() {
  if (!file_.valid() && NextFile() != Step::kNext) {
    return false;
  }
  for (;;) {
    size_t have = end_of_buffer_ - begin_;
    if (begin_ > 0 || capacity_ - end_of_buffer_ < kChunk) {
      if (capacity_ < have + kChunk) {
        size_t wanted = std::max(2 * capacity_, have + kChunk);
        std::unique_ptr<char[]> larger(new char[wanted]);
        if (have > 0) {
          std::memcpy(larger.get(), buffer_.get() + begin_, have);
        }
        buffer_ = std::move(larger);
        capacity_ = wanted;
      } else if (have > 0) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, have);
      }
      buffer_offset_ += static_cast<off_t>(begin_);
      begin_ = 0;
      end_of_buffer_ = have;
    }
    ssize_t n = file_.Read(buffer_.get() + have, kChunk, buffer_offset_ + static_cast<off_t>(have));
    if (n > 0) {
      end_of_buffer_ += static_cast<size_t>(n);
      return true;
    }
    const off_t size = file_.Size();
    if (size < buffer_offset_) {
      // Somebody emptied it: what is written from now on begins at its start.
      end_of_buffer_ = 0;
      buffer_offset_ = 0;
      continue;
    }
    if (size < buffer_offset_ + static_cast<off_t>(have)) {
      end_of_buffer_ = 0;  // the shim took back a line that the disk had no room for
      continue;
    }
    if (NextFile() == Step::kEnd) {
      // Who waits for lines holds no buffer. The beginning of a line is read again with its end: it may be taken back
      // meanwhile, and another line stand there.
      end_of_buffer_ = capacity_ = 0;
      buffer_.reset();
      return false;
    }
  }
}

bool SourceReader::FindLine(absl::string_view* line) {
  size_t searched = 0;
  for (;;) {
    size_t have = end_of_buffer_ - begin_;
    const char* start = buffer_.get() + begin_;
    const void* newline = have > searched ? std::memchr(start + searched, '\n', have - searched) : nullptr;
    if (newline != nullptr) {
      auto size = static_cast<size_t>(static_cast<const char*>(newline) - start);
      *line = absl::string_view(start, size);
      begin_ += size + 1;
      return true;
    }
    if (have > kMaxLine) {
      begin_ = end_of_buffer_;  // not a line of ours
      have = 0;
    }
    searched = have;
    ino_t before = file_.inode();
    if (!Fill()) {
      return false;
    }
    if (file_.inode() != before) {
      searched = 0;
    }
  }
}

const Line* SourceReader::Peek() {
  absl::string_view text;
  while (!have_ && FindLine(&text)) {
    CriLine parsed;
    if (!ParseCri(text, &clock_, &parsed)) {
      continue;
    }
    std::string& partial = partial_[parsed.is_stderr ? 1 : 0];
    if (!parsed.complete && partial.size() < kMaxLine) {
      partial.append(parsed.text.data(), parsed.text.size());
      continue;
    }
    line_ = {.nanos = parsed.nanos, .stamp = parsed.stamp, .is_stderr = parsed.is_stderr, .text = parsed.text};
    if (!partial.empty()) {
      partial.append(parsed.text.data(), parsed.text.size());
      joined_.swap(partial);
      partial.clear();
      line_.text = joined_;
    }
    end_ = {file_.inode(), buffer_offset_ + static_cast<off_t>(begin_), parsed.nanos};
    have_ = true;
  }
  return have_ ? &line_ : nullptr;
}

std::vector<std::string> LastLinesOfDirectory(const std::string& directory, int count) {
  SourceReader reader({"", directory});
  reader.SeekTail(count);
  std::vector<std::string> lines;
  while (const Line* line = reader.Peek()) {
    lines.emplace_back(line->text);
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
