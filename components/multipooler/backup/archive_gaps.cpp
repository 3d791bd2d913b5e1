#include "components/multipooler/backup/archive_gaps.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/consensus/position.h"
#include "common/status/status.h"

namespace mg::multipooler::backup {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDefaultSize = 16 << 20;
constexpr std::size_t kNameDigits = 24;
constexpr std::size_t kPartDigits = 8;  // the timeline's, then two halves of the number

std::uint64_t PerId(std::uint64_t size) { return (std::uint64_t{1} << 32) / size; }

// `…05` and pgBackRest's `…05-SHA1.gz`, but not `….partial` and what was kept beside another one.
bool IsWhole(absl::string_view name) {
  return name.size() == kNameDigits || (name.size() > kNameDigits && name[kNameDigits] == '-');
}

void Add(absl::string_view name, std::uint64_t size, Segments* found) {
  std::uint32_t timeline = 0, id = 0, number = 0;
  if (IsWhole(name) && absl::SimpleHexAtoi(name.substr(0, kPartDigits), &timeline) &&
      absl::SimpleHexAtoi(name.substr(kPartDigits, kPartDigits), &id) &&
      absl::SimpleHexAtoi(name.substr(2 * kPartDigits, kPartDigits), &number)) {
    found->emplace(static_cast<int>(timeline), id * PerId(size) + number);
  }
}

}  // namespace

absl::StatusOr<Segments> ReadSegments(const std::string& directory, std::uint64_t size) {
  Segments found;
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(directory, error); !error && entry != fs::end(entry);
       entry.increment(error)) {
    Add(entry->path().filename().string(), size, &found);
  }
  return error && error != std::errc::no_such_file_or_directory
             ? absl::StatusOr<Segments>(ErrnoStatus(error.value(), absl::StrCat("read ", directory)))
             : found;
}

std::vector<Segment> MissingAfter(const BackupEnd& backup, const Timeline& line, const Segments& present,
                                  std::uint64_t size) {
  const absl::StatusOr<std::uint64_t> end = consensus::ParseLsn(backup.lsn);
  if (!end.ok()) {
    return {};
  }
  // A segment in which a timeline was left is read from the one that came next: it begins with a copy.
  std::vector<Segment> left;
  for (const consensus::LeftTimeline& ancestor : line.ancestors) {
    if (absl::StatusOr<std::uint64_t> lsn = consensus::ParseLsn(ancestor.lsn); lsn.ok()) {
      left.emplace_back(ancestor.timeline, *lsn / size);
    }
  }
  auto timeline_at = [&](std::uint64_t number) {
    for (const auto& [timeline, until] : left) {
      if (number < until) {
        return timeline;
      }
    }
    return line.id;
  };
  std::uint64_t last = 0;
  for (const auto& [timeline, number] : present) {
    last = timeline == timeline_at(number) ? std::max(last, number) : last;
  }
  std::vector<Segment> missing;
  for (std::uint64_t number = *end / size + 1; number < last; ++number) {
    const Segment wanted(timeline_at(number), number);
    if (!present.contains(wanted)) {
      missing.push_back(wanted);
    }
  }
  return missing;
}

std::uint64_t SegmentSize(const std::string& wal_directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(wal_directory, error)) {
    std::error_code unknown;
    const std::string name = entry.path().filename().string();
    const std::uintmax_t bytes = name.size() == kNameDigits && IsWhole(name) ? entry.file_size(unknown) : 0;
    if (!unknown && bytes != 0) {
      return bytes;
    }
  }
  return kDefaultSize;
}

std::string NameOf(const Segment& segment, std::uint64_t size) {
  return absl::StrFormat("%08X%08X%08X", segment.first, segment.second / PerId(size), segment.second % PerId(size));
}

}  // namespace mg::multipooler::backup
