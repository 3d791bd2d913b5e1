#include "components/multipooler/backup/timelines.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::multipooler::backup {
namespace {

namespace fs = std::filesystem;

// PostgreSQL's word for a recovery that was not told where to end: a promotion, or a restore of all that there is.
constexpr char kNoTarget[] = "no recovery target specified";

// Nothing for what is no history file.
std::optional<int> IdOf(const fs::path& path) {
  constexpr std::size_t kDigits = 8;
  int id = 0;
  const std::string stem = path.stem().string();
  return path.extension() == ".history" && stem.size() == kDigits && absl::SimpleHexAtoi(stem, &id) ? std::optional(id)
                                                                                                    : std::nullopt;
}

absl::Status AddFrom(const fs::path& directory, std::map<int, Timeline>* found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::optional<int> id = IdOf(entry.path());
    if (!id.has_value()) {
      continue;
    }
    struct stat facts {};
    if (stat(entry.path().c_str(), &facts) != 0) {
      return ErrnoStatus(errno, absl::StrCat("look at ", entry.path().string()));
    }
    MG_ASSIGN_OR_RETURN(std::string text, ReadFile(entry.path().string()));
    const absl::Time kept = absl::TimeFromTimespec(facts.st_mtim);
    auto [place, fresh] = found->try_emplace(*id, Timeline{.id = *id, .begun = kept, .ancestors = {}});
    place->second.begun = std::min(place->second.begun, kept);
    place->second.ancestors = consensus::ParseHistory(text);
  }
  return error && error != std::errc::no_such_file_or_directory
             ? ErrnoStatus(error.value(), absl::StrCat("read ", directory.string()))
             : absl::OkStatus();
}

bool Contains(const Timeline& timeline, const BackupEnd& backup) {
  if (timeline.id == backup.timeline) {
    return true;
  }
  const absl::StatusOr<std::uint64_t> end = consensus::ParseLsn(backup.lsn);
  return std::any_of(timeline.ancestors.begin(), timeline.ancestors.end(), [&](const consensus::LeftTimeline& left) {
    const absl::StatusOr<std::uint64_t> lsn = consensus::ParseLsn(left.lsn);
    return left.timeline == backup.timeline && lsn.ok() && end.ok() && *lsn >= *end;
  });
}

bool DescendsFrom(const Timeline& timeline, int ancestor) {
  return std::any_of(timeline.ancestors.begin(), timeline.ancestors.end(),
                     [&](const consensus::LeftTimeline& left) { return left.timeline == ancestor; });
}

// Whether all that was acknowledged on that ancestor is in this one too.
bool Keeps(const Timeline& timeline, int ancestor) {
  auto from = std::find_if(timeline.ancestors.begin(), timeline.ancestors.end(),
                           [&](const consensus::LeftTimeline& left) { return left.timeline == ancestor; });
  return from != timeline.ancestors.end() &&
         std::all_of(from, timeline.ancestors.end(),
                     [](const consensus::LeftTimeline& left) { return left.reason == kNoTarget; });
}

}  // namespace

absl::StatusOr<std::vector<Timeline>> ReadTimelines(const std::string& repository) {
  std::map<int, Timeline> found;
  found[1].id = 1;
  MG_RETURN_IF_ERROR(AddFrom(fs::path(repository) / "wal", &found));
  // pgBackRest keeps them as they are, in a directory for each version and system.
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(repository) / "pgbackrest/archive/multigres", error)) {
    if (entry.is_directory()) {
      MG_RETURN_IF_ERROR(AddFrom(entry.path(), &found));
    }
  }
  std::vector<Timeline> all;
  for (auto& [id, timeline] : found) {
    all.push_back(std::move(timeline));
  }
  return all;
}

Timeline LineOf(const std::vector<Timeline>& timelines, const BackupEnd& backup) {
  Timeline line{.id = backup.timeline, .ancestors = {}};
  for (const Timeline& timeline : timelines) {
    line = Contains(timeline, backup) ? timeline : line;
  }
  return line;
}

absl::StatusOr<std::vector<std::string>> WaysTo(std::vector<Timeline> timelines, const BackupEnd& backup,
                                                const Wish& wish) {
  // One that began before the archive did has no history there.
  auto place = std::lower_bound(timelines.begin(), timelines.end(), backup.timeline,
                                [](const Timeline& timeline, int id) { return timeline.id < id; });
  if (place == timelines.end() || place->id != backup.timeline) {
    timelines.insert(place, Timeline{.id = backup.timeline, .ancestors = {}});
  }
  const Timeline* wanted = nullptr;
  if (wish.time < absl::InfiniteFuture()) {
    const Timeline* used = nullptr;  // at that time
    for (const Timeline& timeline : timelines) {
      used = timeline.begun <= wish.time ? &timeline : used;
    }
    wanted = used;
    for (const Timeline& timeline : timelines) {
      // A former leader may have written on, for nobody; its successors have what counts.
      wanted = used != nullptr && Keeps(timeline, used->id) ? &timeline : wanted;
    }
  } else {
    for (const Timeline& timeline : timelines) {
      wanted = wish.newest || Contains(timeline, backup) ? &timeline : wanted;
    }
  }
  if (wanted == nullptr || !Contains(*wanted, backup)) {
    const std::string aim = wish.time < absl::InfiniteFuture() ? "the data of that time" : "the present data";
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("backup ", backup.id, " does not lead to ", aim, ": it ended on timeline ",
                                  backup.timeline, ", and the way there leaves that one before"),
                     {.reason = "BACKUP_OF_ANOTHER_TIMELINE"});
  }
  std::vector<const Timeline*> ways = {wanted};
  for (const Timeline& timeline : timelines) {
    if (wish.time < absl::InfiniteFuture() && timeline.id > wanted->id && DescendsFrom(timeline, wanted->id) &&
        Contains(timeline, backup)) {
      ways.push_back(&timeline);
    }
  }
  std::vector<std::string> values;
  for (const Timeline* way : ways) {
    values.push_back(way == &timelines.back()     ? "latest"
                     : way->id == backup.timeline ? "current"
                                                  : absl::StrCat(way->id));
  }
  return values;
}

}  // namespace mg::multipooler::backup
