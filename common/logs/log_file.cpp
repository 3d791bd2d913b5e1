#include "common/logs/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace mg::logs {
namespace {

constexpr std::uint32_t kSkippable = 0x184D2A5D;  // one of zstd's sixteen
constexpr char kMagic[] = "MGRSLOG1";
constexpr size_t kMagicSize = 8, kHeaderSize = 8, kEntrySize = 8, kTrailerSize = 32;
constexpr std::uint32_t kVersion = 1;
constexpr size_t kMostFrames = 1 << 20;

void Put(std::string* out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

std::uint64_t Get(const char* at, int bytes) {
  std::uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) {
    value = value << 8 | static_cast<unsigned char>(at[i]);
  }
  return value;
}

/// FNV-1a.
std::uint64_t Checksum(absl::string_view bytes) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (char c : bytes) {
    sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return sum;
}

ssize_t ReadAll(int fd, char* out, size_t size, off_t offset) {
  size_t done = 0;
  while (done < size) {
    ssize_t n = ::pread(fd, out + done, size - done, offset + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return done > 0 ? static_cast<ssize_t>(done) : n;
    }
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

bool IsCompressedLog(const std::string& name) {
  return name.size() > 24 && name[8] == 'T' && absl::EndsWith(name, std::string(".log") + kCompressedSuffix);
}

bool IsRotatedLog(const std::string& name) {
  return (name.size() > 20 && name[8] == 'T' && absl::EndsWith(name, ".log")) || IsCompressedLog(name);
}

std::uint64_t CompressedIndex::text_size() const {
  std::uint64_t sum = 0;
  for (const Frame& frame : frames) {
    sum += frame.text;
  }
  return sum;
}

std::string EncodeIndex(const CompressedIndex& index) {
  std::string out;
  Put(&out, kSkippable, 4);
  Put(&out, index.frames.size() * kEntrySize + kTrailerSize, 4);
  for (const CompressedIndex::Frame& frame : index.frames) {
    Put(&out, frame.compressed, 4);
    Put(&out, frame.text, 4);
  }
  Put(&out, index.frames.size(), 4);
  Put(&out, kVersion, 4);
  Put(&out, index.inode, 8);
  Put(&out, Checksum(absl::string_view(out).substr(kHeaderSize)), 8);
  return out + kMagic;
}

std::optional<CompressedIndex> ReadIndex(int fd) {
  struct stat info {};
  char trailer[kTrailerSize];
  if (::fstat(fd, &info) != 0 || info.st_size < static_cast<off_t>(kHeaderSize + kTrailerSize) ||
      ReadAll(fd, trailer, sizeof trailer, info.st_size - static_cast<off_t>(sizeof trailer)) != sizeof trailer ||
      std::memcmp(trailer + kTrailerSize - kMagicSize, kMagic, kMagicSize) != 0 || Get(trailer + 4, 4) != kVersion) {
    return std::nullopt;
  }
  size_t count = Get(trailer, 4);
  size_t body = count * kEntrySize + kTrailerSize;
  if (count > kMostFrames || static_cast<off_t>(body + kHeaderSize) > info.st_size) {
    return std::nullopt;
  }
  std::string bytes(body, '\0');
  if (ReadAll(fd, bytes.data(), body, info.st_size - static_cast<off_t>(body)) != static_cast<ssize_t>(body) ||
      Checksum(absl::string_view(bytes).substr(0, body - 8 - kMagicSize)) != Get(trailer + 16, 8)) {
    return std::nullopt;
  }
  CompressedIndex index;
  index.inode = static_cast<ino_t>(Get(trailer + 8, 8));
  std::uint64_t sum = kHeaderSize + body;
  for (size_t i = 0; i < count; ++i) {
    const char* at = bytes.data() + i * kEntrySize;
    index.frames.push_back({static_cast<std::uint32_t>(Get(at, 4)), static_cast<std::uint32_t>(Get(at + 4, 4))});
    const CompressedIndex::Frame& frame = index.frames.back();
    // A place in the text is found by division.
    if (frame.text > kFrameText || (frame.text < kFrameText && i + 1 < count)) {
      return std::nullopt;
    }
    sum += frame.compressed;
  }
  return sum == static_cast<std::uint64_t>(info.st_size) ? std::optional(std::move(index)) : std::nullopt;
}

LogFile LogFile::Open(const std::string& path) {
  LogFile file;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
    return file;
  }
  file.inode_ = info.st_ino;
  if (IsCompressedLog(path.substr(path.rfind('/') + 1))) {
    file.index_ = ReadIndex(fd.get());
    if (!file.index_.has_value()) {
      return file;
    }
    file.inode_ = file.index_->inode;
    off_t at = 0;
    for (const CompressedIndex::Frame& frame : file.index_->frames) {
      file.starts_.push_back(at);
      at += frame.compressed;
    }
  }
  file.fd_ = std::move(fd);
  return file;
}

off_t LogFile::Size() const {
  if (index_.has_value()) {
    return static_cast<off_t>(index_->text_size());
  }
  struct stat info {};
  return fd_.valid() && ::fstat(fd_.get(), &info) == 0 ? info.st_size : -1;
}

void LogFile::Unpack(size_t frame) {
  const CompressedIndex::Frame& about = index_->frames[frame];
  std::string packed(about.compressed, '\0');
  text_.resize(about.text);
  unpacked_ = frame;
  if (ReadAll(fd_.get(), packed.data(), packed.size(), starts_[frame]) == static_cast<ssize_t>(packed.size()) &&
      ZSTD_decompress(text_.data(), text_.size(), packed.data(), packed.size()) == about.text) {
    return;
  }
  // The half line before it ends where the frame begins, and the half line behind it is none.
  std::string notice = "\n1970-01-01T00:00:00.000000000Z stderr F multigres: " + std::to_string(about.text) +
                       " bytes of this log are damaged\n";
  text_.assign(about.text, '\n');
  text_.replace(0, std::min(notice.size(), text_.size()), notice, 0, text_.size());
}

ssize_t LogFile::Read(char* out, size_t size, off_t offset) {
  if (!index_.has_value()) {
    ssize_t n = 0;
    while ((n = ::pread(fd_.get(), out, size, offset)) < 0 && errno == EINTR) {
    }
    return n;
  }
  size_t done = 0;
  while (done < size) {
    size_t at = static_cast<size_t>(offset) + done, frame = at / kFrameText, within = at % kFrameText;
    if (frame >= index_->frames.size()) {
      break;
    }
    if (frame != unpacked_) {
      Unpack(frame);
    }
    if (within >= text_.size()) {
      break;
    }
    size_t take = std::min(size - done, text_.size() - within);
    std::memcpy(out + done, text_.data() + within, take);
    done += take;
  }
  return static_cast<ssize_t>(done);
}

}  // namespace mg::logs
