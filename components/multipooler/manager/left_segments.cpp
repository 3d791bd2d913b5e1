#include "components/multipooler/manager/left_segments.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/fs/owner.h"
#include "common/status/status.h"

namespace mg::multipooler {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDefaultSegment = 16 << 20;

struct Left {
  std::uint32_t timeline = 0;
  std::uint64_t lsn = 0;  ///< where the next timeline left it
};

bool AllHex(const std::string& text, std::size_t length) {
  return text.size() == length &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// timeline, tab, high/low in hexadecimal digits, tab, reason.
std::vector<Left> ParseHistory(const std::string& text) {
  std::vector<Left> all;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<std::string> words = absl::StrSplit(line, '\t');
    std::uint32_t timeline = 0, high = 0, low = 0;
    std::vector<std::string> halves =
        words.size() < 2 ? std::vector<std::string>() : std::vector<std::string>(absl::StrSplit(words[1], '/'));
    if (halves.size() == 2 && absl::SimpleAtoi(words[0], &timeline) && absl::SimpleHexAtoi(halves[0], &high) &&
        absl::SimpleHexAtoi(halves[1], &low)) {
      all.push_back({timeline, static_cast<std::uint64_t>(high) << 32 | low});
    }
  }
  return all;
}

std::string SegmentName(std::uint32_t timeline, std::uint64_t segment, std::uint64_t size) {
  const std::uint64_t per_id = (std::uint64_t{1} << 32) / size;
  return absl::StrFormat("%08X%08X%08X", timeline, segment / per_id, segment % per_id);
}

}  // namespace

absl::Status KeepLeftSegments(const std::string& data_directory, const std::string& owner) {
  const std::string wal = JoinPath(data_directory, "pg_wal");
  std::string newest;
  std::uint64_t size = kDefaultSegment;
  std::error_code error;
  for (fs::directory_iterator entry(wal, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (absl::EndsWith(name, ".history") && AllHex(name.substr(0, 8), 8)) {
      newest = std::max(newest, name);
    } else if (AllHex(name, 24)) {
      std::error_code unknown;
      const std::uintmax_t bytes = entry->file_size(unknown);
      size = unknown || bytes == 0 ? size : bytes;
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("read ", wal));
  }
  if (newest.empty()) {
    return absl::OkStatus();
  }
  std::uint32_t present = 0;
  (void)absl::SimpleHexAtoi(newest.substr(0, 8), &present);
  MG_ASSIGN_OR_RETURN(std::string history, ReadFile(JoinPath(wal, newest)));
  std::vector<Left> left = ParseHistory(history);
  for (std::size_t i = 1; i < left.size(); ++i) {
    const std::uint64_t segment = left.back().lsn / size;
    if (left[i].lsn / size != segment || left[i - 1].lsn / size != segment) {
      continue;
    }
    const std::string name = SegmentName(left[i].timeline, segment, size);
    const std::string path = JoinPath(wal, name);
    // The present timeline's segment begins with a copy of all that is before it.
    const std::string source = Exists(absl::StrCat(path, ".partial"))
                                   ? absl::StrCat(path, ".partial")
                                   : JoinPath(wal, SegmentName(present, segment, size));
    if (Exists(path) || !Exists(source)) {
      continue;
    }
    const std::string done = JoinPath(wal, absl::StrCat("archive_status/", name, ".done"));
    MG_RETURN_IF_ERROR(WriteFileAtomically(done, "", 0600));
    MG_RETURN_IF_ERROR(ChangeOwner(done, owner));
    MG_ASSIGN_OR_RETURN(std::string bytes, ReadFile(source));
    MG_RETURN_IF_ERROR(WriteFileAtomically(path, bytes, 0600));
    MG_RETURN_IF_ERROR(ChangeOwner(path, owner));
  }
  return absl::OkStatus();
}

}  // namespace mg::multipooler
