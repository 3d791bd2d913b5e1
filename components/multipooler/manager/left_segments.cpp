#include "components/multipooler/manager/left_segments.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/consensus/position.h"
#include "common/consensus/timeline_history.h"
#include "common/fs/fs.h"
#include "common/fs/owner.h"
#include "common/status/status.h"
#include "components/multipooler/backup/archive_gaps.h"

namespace mg::multipooler {
namespace {

namespace fs = std::filesystem;

bool AllHex(const std::string& text, std::size_t length) {
  return text.size() == length &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// The segment in which a timeline was left; nullopt for what is no position.
std::optional<std::uint64_t> SegmentOf(const consensus::LeftTimeline& left, std::uint64_t size) {
  absl::StatusOr<std::uint64_t> lsn = consensus::ParseLsn(left.lsn);
  return lsn.ok() ? std::optional(*lsn / size) : std::nullopt;
}

}  // namespace

absl::Status KeepLeftSegments(const std::string& data_directory, const std::string& owner) {
  const std::string wal = JoinPath(data_directory, "pg_wal");
  std::string newest;
  const std::uint64_t size = backup::SegmentSize(wal);
  std::error_code error;
  for (fs::directory_iterator entry(wal, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (absl::EndsWith(name, ".history") && AllHex(name.substr(0, 8), 8)) {
      newest = std::max(newest, name);
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
  const std::vector<consensus::LeftTimeline> left = consensus::ParseHistory(history);
  const std::optional<std::uint64_t> last = left.empty() ? std::nullopt : SegmentOf(left.back(), size);
  for (std::size_t i = 1; last.has_value() && i < left.size(); ++i) {
    if (SegmentOf(left[i], size) != last || SegmentOf(left[i - 1], size) != last) {
      continue;
    }
    const std::string name = backup::NameOf({left[i].timeline, *last}, size);
    const std::string path = JoinPath(wal, name);
    // The present timeline's segment begins with a copy of all that is before it.
    const std::string source = Exists(absl::StrCat(path, ".partial"))
                                   ? absl::StrCat(path, ".partial")
                                   : JoinPath(wal, backup::NameOf({present, *last}, size));
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
