#include "components/multipooler/backup/repository.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "components/multipooler/backup/archive_gaps.h"
#include "components/multipooler/backup/base_backups.h"
#include "components/multipooler/backup/pgbackrest.h"

namespace mg::multipooler::backup {
namespace {

using Metadata = multipoolermanagerdata::BackupMetadata;
constexpr char kPgBackRestName[] = "pgBackRest";
constexpr int kRetentionFull = 7;
constexpr char kRetentionKey[] = "repo1_retention_full";

absl::Status NotInstalled(const std::string& what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, what, {.reason = "BACKUP_PROGRAM_MISSING"});
}

absl::StatusOr<BackupEnd> EndOf(const Metadata& backup, Engine* owner, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(int timeline, owner->TimelineOf(backup.backup_id(), deadline));
  return BackupEnd{.id = backup.backup_id(), .timeline = timeline, .lsn = backup.stop_lsn()};
}

absl::StatusOr<FileLock> LockRepository(const std::string& path) {
  absl::StatusOr<FileLock> lock = FileLock::TryAcquire(JoinPath(path, ".lock"));
  if (!lock.ok() && absl::IsUnavailable(lock.status())) {
    return absl::AbortedError("another backup, or an expiry, is under way in this repository; wait for its end");
  }
  return lock;
}

}  // namespace

std::string EngineName(const std::string& backup_id) {
  return absl::EndsWith(backup_id, "B") ? "pg_basebackup" : kPgBackRestName;
}

Repository::Repository(const std::string& location, const clustermetadata::ShardKey& shard, Server server)
    : path_(absl::StrCat(location, "/", shard.database(), "/", shard.table_group(), "/", shard.shard())),
      segment_size_(SegmentSize(JoinPath(server.data_directory, "pg_wal"))) {
  if (std::unique_ptr<Engine> engine = FindPgBackRest(path_, server)) {
    engines_.push_back(std::move(engine));
  }
  engines_.push_back(MakeBaseBackups(path_, std::move(server)));
}

Engine* Repository::Preferred(const std::string& archive_mode) const {
  for (const auto& engine : engines_) {
    if (engine->CanUse(archive_mode)) {
      return engine.get();
    }
  }
  return engines_.back().get();  // its backups can be restored without an archive, as they were at their end
}

absl::StatusOr<Engine*> Repository::OwnerOf(const std::string& backup_id) const {
  for (const auto& engine : engines_) {
    if (engine->Owns(backup_id)) {
      return engine.get();
    }
  }
  return NotInstalled(
      absl::StrCat("backup ", backup_id, " was made by ", EngineName(backup_id), ", which is not installed here"));
}

absl::StatusOr<Metadata> Repository::Take(const TakeRequest& request, const std::string& archive_mode,
                                          absl::Time deadline, const std::atomic<bool>* cancelled) {
  MG_RETURN_IF_ERROR(MakeDirectories(DirName(path_), 0711));
  MG_RETURN_IF_ERROR(MakeDirectories(path_, 0700));
  MG_ASSIGN_OR_RETURN(FileLock lock, LockRepository(path_));
  return Preferred(archive_mode)->Take(request, deadline, cancelled);
}

std::vector<Metadata> Repository::Unreadable() const {
  const bool readable = std::any_of(engines_.begin(), engines_.end(),
                                    [](const auto& engine) { return engine->name() == kPgBackRestName; });
  return readable ? std::vector<Metadata>() : UnreadableBackups(path_);
}

absl::StatusOr<std::vector<Metadata>> Repository::List(absl::Time deadline) {
  std::vector<Metadata> all;
  for (const auto& engine : engines_) {
    MG_ASSIGN_OR_RETURN(std::vector<Metadata> some, engine->List(deadline));
    all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
  }
  std::vector<Metadata> unreadable = Unreadable();
  all.insert(all.end(), std::make_move_iterator(unreadable.begin()), std::make_move_iterator(unreadable.end()));
  std::stable_sort(all.begin(), all.end(), [](const Metadata& a, const Metadata& b) {
    return a.backup_id().substr(0, 15) > b.backup_id().substr(0, 15);
  });
  return all;
}

absl::StatusOr<std::vector<std::string>> Repository::Expire(const std::map<std::string, std::string>& overrides,
                                                            absl::Time deadline, const std::atomic<bool>* cancelled) {
  int retention = kRetentionFull;
  for (const auto& [key, value] : overrides) {
    if (key != kRetentionKey) {
      return absl::InvalidArgumentError(absl::StrCat("override '", key, "' is not known; there is ", kRetentionKey));
    }
    if (!absl::SimpleAtoi(value, &retention) || retention < 1) {
      return absl::InvalidArgumentError(absl::StrCat(kRetentionKey, " '", value, "' is not a number of at least 1"));
    }
  }
  if (!Exists(path_)) {
    return std::vector<std::string>();
  }
  MG_ASSIGN_OR_RETURN(FileLock lock, LockRepository(path_));
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> before, List(deadline));
  const std::string leading = NewestLeading(before, deadline);
  for (const auto& engine : engines_) {
    MG_RETURN_IF_ERROR(
        engine->Expire(std::max(retention, RetentionFor(leading, *engine, before)), deadline, cancelled));
  }
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> after, List(deadline));
  std::set<std::string> left;
  for (const Metadata& backup : after) {
    left.insert(backup.backup_id());
  }
  std::vector<std::string> removed;
  for (const Metadata& backup : before) {
    if (!left.contains(backup.backup_id())) {
      removed.push_back(backup.backup_id());
    }
  }
  return removed;
}

// The newest backup that leads to the present data; empty: none does.
std::string Repository::NewestLeading(const std::vector<Metadata>& newest_first, absl::Time deadline) {
  for (const Metadata& backup : newest_first) {
    if (backup.status() == Metadata::COMPLETE && WaysTo(backup, {.newest = true}, deadline).ok()) {
      return backup.backup_id();
    }
  }
  return "";
}

// How many full backups must be kept so that this one can be restored. A newer one may be of data that a restore has
// taken back.
int Repository::RetentionFor(const std::string& backup_id, const Engine& engine,
                             const std::vector<Metadata>& newest_first) {
  const std::string full = backup_id.substr(0, backup_id.find('_'));  // that it is, or depends on
  int count = 0;
  for (const Metadata& backup : newest_first) {
    if (engine.Owns(backup.backup_id()) && backup.status() == Metadata::COMPLETE && backup.type() == "full") {
      ++count;
      if (backup.backup_id() == full) {
        return count;
      }
    }
  }
  return 0;
}

absl::StatusOr<std::string> Repository::Verify(absl::Time deadline, const std::atomic<bool>* cancelled) {
  std::string output;
  for (const auto& engine : engines_) {
    MG_ASSIGN_OR_RETURN(std::string part, engine->Verify(deadline, cancelled));
    if (!part.empty()) {
      absl::StrAppend(&output, engine->name(), ":\n", part);
    }
    MG_RETURN_IF_ERROR(VerifyWal(engine.get(), deadline));
  }
  if (const std::vector<Metadata> unreadable = Unreadable(); !unreadable.empty()) {
    return NotInstalled(absl::StrCat(unreadable.size(), unreadable.size() == 1 ? " backup was" : " backups were",
                                     " made by pgBackRest, which is not installed here, and cannot be looked at"));
  }
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> all, List(deadline));
  if (!all.empty() && NewestLeading(all, deadline).empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "no backup leads to the present data",
                     {.reason = "BACKUP_OF_ANOTHER_TIMELINE", .hint = "make a new backup: multigres backup create"});
  }
  return output;
}

absl::Status Repository::VerifyWal(Engine* engine, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> backups, engine->List(deadline));
  MG_ASSIGN_OR_RETURN(std::vector<Timeline> timelines, ReadTimelines(path_));
  Segments present;
  for (const std::string& directory : engine->WalDirectories()) {
    MG_ASSIGN_OR_RETURN(Segments some, ReadSegments(directory, segment_size_));
    present.merge(some);
  }
  for (const Metadata& backup : backups) {
    if (backup.status() != Metadata::COMPLETE) {
      continue;
    }
    MG_ASSIGN_OR_RETURN(BackupEnd end, EndOf(backup, engine, deadline));
    const std::vector<Segment> missing = MissingAfter(end, LineOf(timelines, end), present, segment_size_);
    if (!missing.empty()) {
      return MakeError(
          absl::StatusCode::kDataLoss,
          absl::StrCat(
              "the archive has a gap: from backup ", backup.backup_id(), " the way ends before segment ",
              NameOf(missing.front(), segment_size_),
              missing.size() == 1 ? ", which is" : absl::StrCat(", which is, with ", missing.size() - 1, " more,"),
              " not there"),
          {.reason = "ARCHIVE_GAP"});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Metadata> Repository::Find(const std::string& backup_id, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> all, List(deadline));
  for (const Metadata& backup : all) {
    if (backup.status() == Metadata::COMPLETE && (backup_id.empty() || backup.backup_id() == backup_id)) {
      return backup;
    }
    if (backup.status() == Metadata::UNKNOWN && backup.backup_id() == backup_id) {
      MG_RETURN_IF_ERROR(OwnerOf(backup_id).status());
    }
  }
  return backup_id.empty()
             ? MakeError(absl::StatusCode::kNotFound, "there is no complete backup",
                         {.reason = "NO_BACKUP", .hint = "multigres backup create makes one"})
             : MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no complete backup ", backup_id),
                         {.reason = "UNKNOWN_BACKUP", .hint = "multigres backup list shows them"});
}

absl::StatusOr<std::vector<std::string>> Repository::WaysTo(const Metadata& backup, const Wish& wish,
                                                            absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(Engine * owner, OwnerOf(backup.backup_id()));
  MG_ASSIGN_OR_RETURN(BackupEnd end, EndOf(backup, owner, deadline));
  MG_ASSIGN_OR_RETURN(std::vector<Timeline> timelines, ReadTimelines(path_));
  return backup::WaysTo(std::move(timelines), end, wish);
}

absl::Status Repository::Restore(const RestoreRequest& request, absl::Time deadline,
                                 const std::atomic<bool>* cancelled) {
  MG_ASSIGN_OR_RETURN(Engine * owner, OwnerOf(request.backup_id));
  return owner->Restore(request, deadline, cancelled);
}

}  // namespace mg::multipooler::backup
