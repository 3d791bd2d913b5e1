#include "common/logs/compress.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/logs/log_file.h"

namespace mg::logs {
namespace {

constexpr int kLevel = 3;
// No writer and no reader takes this name for a log.
constexpr char kUnfinished[] = ".compressing";

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

absl::Status Errno(const std::string& what) { return absl::ErrnoToStatus(errno, what); }

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      errno = n == 0 ? ENOSPC : errno;
      return false;
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

/// All frames and the index of `from`, whose size is `size`.
absl::Status Pack(int from, off_t size, ino_t inode, int to, const std::string& path) {
  std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (context == nullptr) {
    return absl::ResourceExhaustedError("no memory to compress a log with");
  }
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  CompressedIndex index;
  index.inode = inode;
  std::string text(kFrameText, '\0'), packed(ZSTD_compressBound(kFrameText), '\0');
  for (off_t at = 0; at < size;) {
    auto want = static_cast<size_t>(std::min<off_t>(size - at, static_cast<off_t>(kFrameText)));
    size_t have = 0;
    while (have < want) {
      ssize_t n = ::pread(from, text.data() + have, want - have, at + static_cast<off_t>(have));
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n <= 0) {
        return n < 0 ? Errno(absl::StrCat("read ", path)) : absl::DataLossError(absl::StrCat(path, " became shorter"));
      }
      have += static_cast<size_t>(n);
    }
    size_t made = ZSTD_compress2(context.get(), packed.data(), packed.size(), text.data(), want);
    if (ZSTD_isError(made) != 0) {
      return absl::InternalError(absl::StrCat("compress ", path, ": ", ZSTD_getErrorName(made)));
    }
    if (!WriteAll(to, packed.data(), made)) {
      return Errno(absl::StrCat("write the compressed ", path));
    }
    index.frames.push_back({static_cast<std::uint32_t>(made), static_cast<std::uint32_t>(want)});
    at += static_cast<off_t>(want);
  }
  std::string end = EncodeIndex(index);
  if (!WriteAll(to, end.data(), end.size()) || ::fdatasync(to) != 0) {
    return Errno(absl::StrCat("write the compressed ", path));
  }
  return absl::OkStatus();
}

void SyncDirectory(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) {
    (void)::fsync(fd.get());
  }
}

}  // namespace

absl::StatusOr<bool> CompressLog(const std::string& directory, const std::string& name) {
  std::string path = JoinPath(directory, name), target = path + kCompressedSuffix;
  std::string unfinished = JoinPath(directory, kUnfinished);
  UniqueFd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat before {
  }, after{}, current{};
  if (!from.valid() || ::fstat(from.get(), &before) != 0) {
    return errno == ENOENT ? absl::StatusOr<bool>(false) : Errno(absl::StrCat("open ", path));
  }
  // A writer that could not make its next file goes on in this one. Once there is a next one, this one is as it stays.
  if (::stat(JoinPath(directory, kCurrentLog).c_str(), &current) != 0 || current.st_ino == before.st_ino) {
    return false;
  }
  UniqueFd to(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, before.st_mode & 0777));
  if (!to.valid()) {
    return Errno(absl::StrCat("make ", unfinished));
  }
  (void)!::fchown(to.get(), before.st_uid, before.st_gid);
  absl::Status packed = Pack(from.get(), before.st_size, before.st_ino, to.get(), path);
  if (packed.ok() && (::fstat(from.get(), &after) != 0 || after.st_size != before.st_size)) {
    packed = absl::AbortedError(absl::StrCat(path, " changed meanwhile"));
  }
  if (!packed.ok() || after.st_nlink == 0) {
    ::unlink(unfinished.c_str());
    return packed.ok() ? absl::StatusOr<bool>(false) : packed;
  }
  if (::rename(unfinished.c_str(), target.c_str()) != 0) {
    absl::Status failed = Errno(absl::StrCat("rename to ", target));
    ::unlink(unfinished.c_str());
    return failed;
  }
  SyncDirectory(directory);
  if (::unlink(path.c_str()) != 0 && errno == ENOENT) {
    // The writer had too many files meanwhile, and removed this one: it must not come back.
    ::unlink(target.c_str());
    return false;
  }
  return true;
}

void CleanUpCompression(const std::string& directory) {
  ::unlink(JoinPath(directory, kUnfinished).c_str());
  DIR* listing = ::opendir(directory.c_str());
  std::vector<std::string> compressed;
  while (dirent* entry = listing != nullptr ? ::readdir(listing) : nullptr) {
    if (IsCompressedLog(entry->d_name)) {
      compressed.emplace_back(entry->d_name);
    }
  }
  if (listing != nullptr) {
    ::closedir(listing);
  }
  for (const std::string& name : compressed) {
    std::string target = JoinPath(directory, name);
    std::string plain = target.substr(0, target.size() - std::string(kCompressedSuffix).size());
    struct stat info {};
    if (::stat(plain.c_str(), &info) != 0) {
      continue;
    }
    // Both are there: killed between the two last steps.
    UniqueFd fd(::open(target.c_str(), O_RDONLY | O_CLOEXEC));
    std::optional<CompressedIndex> index = fd.valid() ? ReadIndex(fd.get()) : std::nullopt;
    bool whole = index.has_value() && index->inode == info.st_ino &&
                 index->text_size() == static_cast<std::uint64_t>(info.st_size);
    ::unlink(whole ? plain.c_str() : target.c_str());
  }
}

}  // namespace mg::logs
