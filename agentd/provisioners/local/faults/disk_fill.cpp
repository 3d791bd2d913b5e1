#include "agentd/provisioners/local/faults/disk_fill.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::local {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr std::uint64_t kSmall = 10 * kGiB;
constexpr std::uint64_t kLeaveFree = 2 * kGiB;
constexpr std::uint64_t kChunk = 16 * kMiB;
constexpr std::uint64_t kSmallestChunk = 4096;

}  // namespace

absl::StatusOr<FileSystemFacts> FactsOf(const std::string& path) {
  struct statvfs stat = {};
  if (::statvfs(path.c_str(), &stat) != 0) {
    return ErrnoStatus(errno, path);
  }
  FileSystemFacts facts = {.total = stat.f_blocks * stat.f_frsize, .free = stat.f_bfree * stat.f_frsize};
  MG_ASSIGN_OR_RETURN(std::string mounts, ReadFile("/proc/self/mountinfo"));
  for (absl::string_view line : absl::StrSplit(mounts, '\n', absl::SkipEmpty())) {
    // "36 35 98:0 /root /mount options [optional …] - type source options": the last match is the topmost mount.
    std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    std::vector<absl::string_view> left = absl::StrSplit(halves[0], ' ');
    std::vector<absl::string_view> right = absl::StrSplit(halves.size() > 1 ? halves[1] : "", ' ');
    if (left.size() < 5 || right.size() < 2) {
      continue;
    }
    const absl::string_view mount = left[4];
    const bool above = mount == "/" || path == mount || absl::StartsWith(path, absl::StrCat(mount, "/"));
    if (above && mount.size() >= facts.mount_point.size()) {
      facts.mount_point = std::string(mount);
      facts.type = std::string(right[0]);
      facts.source = std::string(right[1]);
    }
  }
  return facts;
}

absl::Status MayFill(const FileSystemFacts& facts, std::uint64_t most_bytes) {
  const std::string which = absl::StrCat("the file system at ", facts.mount_point, " (", facts.type, ", ",
                                         text::HumanBytes(facts.total), ")");
  if (most_bytes == 0) {
    const bool own = facts.mount_point != "/" && (facts.type == "tmpfs" || absl::StartsWith(facts.source, "/dev/loop"));
    if (own && facts.total <= kSmall) {
      return absl::OkStatus();
    }
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat(which, " is not filled: other programs may need it"),
                     {.reason = "DISK_NOT_DEDICATED",
                      .hint = "mount a tmpfs or a loop device of at most 10 GiB where the component's data is, or give "
                              "--up-to SIZE for a file of that size"});
  }
  const std::uint64_t left = facts.free > most_bytes ? facts.free - most_bytes : 0;
  if (left < std::max(kLeaveFree, facts.total / 10)) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat(text::HumanBytes(most_bytes), " would leave too little of ", which, ": ", text::HumanBytes(left)),
        {.reason = "DISK_NOT_DEDICATED", .hint = "give a smaller --up-to; 2 GiB and a tenth of it stay free"});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::uint64_t> FillDisk(const std::string& file, std::uint64_t most_bytes,
                                       const std::function<bool()>& stop) {
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) {
    return ErrnoStatus(errno, file);
  }
  std::uint64_t size = 0;
  for (std::uint64_t chunk = kChunk; chunk >= kSmallestChunk && !stop();) {
    std::uint64_t step = most_bytes == 0 ? chunk : std::min(chunk, most_bytes - size);
    if (step == 0) {
      break;
    }
    int error = ::posix_fallocate(fd.get(), static_cast<off_t>(size), static_cast<off_t>(step));
    if (error == 0) {
      size += step;
    } else if (error == ENOSPC || error == EDQUOT) {
      chunk /= 2;
    } else if (error != EINTR) {
      return ErrnoStatus(error, absl::StrCat("fill ", file));
    }
  }
  return size;
}

}  // namespace mg::local
