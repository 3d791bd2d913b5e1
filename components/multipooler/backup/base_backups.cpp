#include "components/multipooler/backup/base_backups.h"

#include <google/protobuf/util/json_util.h>
#include <re2/re2.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/fs/owner.h"
#include "common/log/log.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "components/multipooler/backup/archive.h"
#include "components/multipooler/backup/restore_settings.h"

namespace mg::multipooler::backup {
namespace {

namespace data = multipoolermanagerdata;
using Metadata = data::BackupMetadata;

constexpr char kSuffix[] = "B";
constexpr char kPart[] = ".part-";
constexpr char kGone[] = ".gone-";
constexpr char kOther[] = ".other-";

absl::Status Rename(const std::string& from, const std::string& to) {
  return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus()
                                               : ErrnoStatus(errno, absl::StrCat("rename ", from, " to ", to));
}

class BaseBackups final : public Engine {
 public:
  BaseBackups(std::string repository, Server server) : repository_(std::move(repository)), server_(std::move(server)) {}

  std::string name() const override { return "pg_basebackup"; }
  bool Owns(const std::string& backup_id) const override { return absl::EndsWith(backup_id, kSuffix); }
  // Every node archives, so that no segment is missing when the primary is lost with some that it had not archived yet.
  bool CanUse(const std::string& archive_mode) const override { return archive_mode == "always"; }

  absl::StatusOr<Metadata> Take(const TakeRequest& request, absl::Time deadline,
                                const std::atomic<bool>* cancelled) override;
  absl::StatusOr<std::vector<Metadata>> List(absl::Time deadline) override;
  std::vector<std::string> WalDirectories() const override { return {Wal()}; }
  absl::StatusOr<int> TimelineOf(const std::string& backup_id, absl::Time deadline) override;
  absl::Status Expire(int retention_full, absl::Time deadline, const std::atomic<bool>* cancelled) override;
  absl::StatusOr<std::string> Verify(absl::Time deadline, const std::atomic<bool>* cancelled) override;
  absl::Status Restore(const RestoreRequest& request, absl::Time deadline, const std::atomic<bool>* cancelled) override;

 private:
  std::string Base() const { return JoinPath(repository_, "base"); }
  std::string Wal() const { return JoinPath(repository_, "wal"); }
  std::string Place(const std::string& name) const { return JoinPath(Base(), name); }
  std::string FreeName() const;
  absl::Status Copy(const std::string& directory, const std::string& label, absl::Time deadline,
                    const std::atomic<bool>* cancelled) const;
  absl::Status RemoveLeftovers() const;
  absl::Status RemoveOtherSegments(const std::string& first_segment) const;
  absl::StatusOr<HelperResult> Run(std::vector<std::string> argv, absl::Time deadline,
                                   const std::atomic<bool>* cancelled) const;
  absl::StatusOr<pginstall::Installation> Programs() const {
    return pginstall::Choose(server_.data_directory, server_.postgres_major);
  }

  const std::string repository_;
  const Server server_;
};

std::string BaseBackups::FreeName() const {
  for (absl::Time time = absl::Now();; time += absl::Seconds(1)) {
    std::string name = absl::FormatTime("%Y%m%d-%H%M%S", time, absl::UTCTimeZone()) + kSuffix;
    if (!Exists(Place(name))) {
      return name;
    }
  }
}

absl::StatusOr<HelperResult> BaseBackups::Run(std::vector<std::string> argv, absl::Time deadline,
                                              const std::atomic<bool>* cancelled) const {
  return RunHelper({.argv = std::move(argv),
                    .environment = {"PGPASSFILE=" + server_.passfile, "LC_ALL=C"},
                    .working_directory = "/",
                    .run_as = server_.run_as,
                    .timeout = deadline - absl::Now(),
                    .cancelled = cancelled});
}

absl::Status BaseBackups::Copy(const std::string& directory, const std::string& label, absl::Time deadline,
                               const std::atomic<bool>* cancelled) const {
  MG_ASSIGN_OR_RETURN(pginstall::Installation programs, Programs());
  MG_ASSIGN_OR_RETURN(
      HelperResult result,
      Run({programs.Program("pg_basebackup"), "--pgdata=" + directory, "--format=plain", "--wal-method=stream",
           "--checkpoint=fast", "--no-password", "--label=" + label, "--host=" + server_.socket_directory,
           absl::StrCat("--port=", server_.port), "--username=" + server_.superuser},
          deadline, cancelled));
  return result.exit_code == 0 ? absl::OkStatus()
                               : absl::InternalError(absl::StrCat("pg_basebackup failed: ", result.standard_error));
}

absl::StatusOr<Metadata> BaseBackups::Take(const TakeRequest& request, absl::Time deadline,
                                           const std::atomic<bool>* cancelled) {
  if (request.type != "full") {
    return absl::InvalidArgumentError(absl::StrCat("pg_basebackup makes full backups only, not ", request.type,
                                                   "; with pgBackRest installed there are the others too"));
  }
  MG_RETURN_IF_ERROR(MakePrivateFor(repository_, server_.run_as));
  MG_RETURN_IF_ERROR(MakePrivateFor(Wal(), server_.run_as));
  MG_RETURN_IF_ERROR(MakePrivateFor(Base(), server_.run_as));
  MG_RETURN_IF_ERROR(WriteArchiveScript(repository_, server_.run_as));
  MG_RETURN_IF_ERROR(RemoveLeftovers());
  std::string id = FreeName();
  std::string part = JoinPath(Base(), kPart + id);
  std::string copy = JoinPath(part, "data");
  Metadata metadata;
  rpc::SetTime(absl::Now(), metadata.mutable_start_timestamp());
  absl::Status status = [&]() -> absl::Status {
    MG_RETURN_IF_ERROR(MakePrivateFor(part, server_.run_as));
    MG_RETURN_IF_ERROR(MakePrivateFor(copy, server_.run_as));
    MG_RETURN_IF_ERROR(Copy(copy, id, deadline, cancelled));
    MG_ASSIGN_OR_RETURN(std::string label, ReadFile(JoinPath(copy, "backup_label")));
    MG_ASSIGN_OR_RETURN(std::string manifest, ReadFile(JoinPath(copy, "backup_manifest")));
    MG_ASSIGN_OR_RETURN(CopyFacts facts, ReadCopyFacts(label, manifest));
    MG_ASSIGN_OR_RETURN(pginstall::Installation programs, Programs());
    metadata.set_backup_id(id);
    metadata.set_table_group(request.shard.table_group());
    metadata.set_shard(request.shard.shard());
    metadata.set_status(Metadata::COMPLETE);
    metadata.set_type("full");
    metadata.set_job_id(request.job_id);
    metadata.set_multipooler_id(request.pooler_name);
    metadata.set_routing_role(request.role);
    metadata.set_start_lsn(facts.start_lsn);
    metadata.set_stop_lsn(facts.stop_lsn);
    metadata.set_pg_version(absl::StrCat(programs.major));
    metadata.set_backup_size_bytes(TreeSize(copy));
    rpc::SetTime(absl::Now(), metadata.mutable_stop_timestamp());
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(metadata, &json).ok()) {
      return absl::InternalError("the backup's description cannot be written as JSON");
    }
    std::string file = JoinPath(part, "backup.json");
    MG_RETURN_IF_ERROR(WriteFileAtomically(file, json + "\n", 0600));
    MG_RETURN_IF_ERROR(ChangeOwner(file, server_.run_as));
    return Rename(part, Place(id));
  }();
  if (!status.ok()) {
    if (absl::Status removed = RemoveTree(part); !removed.ok()) {
      log::Warn("could not remove an unfinished backup", {{"error", removed}});
    }
    return status;
  }
  return metadata;
}

absl::Status BaseBackups::RemoveLeftovers() const {
  std::error_code error;
  std::vector<std::string> leftovers;
  for (const auto& entry : std::filesystem::directory_iterator(Base(), error)) {
    std::string name = entry.path().filename().string();
    if (absl::StartsWith(name, kPart) || absl::StartsWith(name, kGone)) {
      leftovers.push_back(entry.path().string());
    }
  }
  for (const std::string& path : leftovers) {
    MG_RETURN_IF_ERROR(RemoveTree(path));
  }
  return absl::OkStatus();
}

// What the archive's script kept beside a segment, of before the first one that is needed: pg_archivecleanup knows no
// such names.
absl::Status BaseBackups::RemoveOtherSegments(const std::string& first_segment) const {
  constexpr std::size_t kTimelineDigits = 8, kDigits = 24;
  std::error_code error;
  std::vector<std::string> old;
  for (const auto& entry : std::filesystem::directory_iterator(Wal(), error)) {
    std::string name = entry.path().filename().string();
    if (absl::StrContains(name, kOther) &&
        name.substr(kTimelineDigits, kDigits - kTimelineDigits) < first_segment.substr(kTimelineDigits)) {
      old.push_back(entry.path().string());
    }
  }
  for (const std::string& path : old) {
    MG_RETURN_IF_ERROR(RemoveTree(path));
  }
  return error ? ErrnoStatus(error.value(), absl::StrCat("read ", Wal())) : absl::OkStatus();
}

absl::StatusOr<std::vector<Metadata>> BaseBackups::List(absl::Time) {
  std::vector<Metadata> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(Base(), error)) {
    std::string id = entry.path().filename().string();
    if (absl::StartsWith(id, ".")) {
      continue;
    }
    Metadata metadata;
    absl::StatusOr<std::string> json = ReadFile(JoinPath(entry.path().string(), "backup.json"));
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    if (!json.ok() || !google::protobuf::util::JsonStringToMessage(*json, &metadata, options).ok() ||
        !Exists(JoinPath(entry.path().string(), "data/PG_VERSION"))) {
      metadata.set_status(Metadata::INCOMPLETE);
    }
    metadata.set_backup_id(id);
    all.push_back(std::move(metadata));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(), absl::StrCat("read ", Base()));
  }
  std::sort(all.begin(), all.end(), [](const Metadata& a, const Metadata& b) { return a.backup_id() > b.backup_id(); });
  return all;
}

absl::Status BaseBackups::Expire(int retention_full, absl::Time deadline, const std::atomic<bool>* cancelled) {
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> all, List(deadline));
  int kept = 0;
  std::string oldest;
  for (const Metadata& backup : all) {
    if (backup.status() == Metadata::COMPLETE && kept < retention_full) {
      ++kept;
      oldest = backup.backup_id();
      continue;
    }
    // Renamed first: half of a backup must not look like one.
    std::string gone = JoinPath(Base(), kGone + backup.backup_id());
    MG_RETURN_IF_ERROR(Rename(Place(backup.backup_id()), gone));
    MG_RETURN_IF_ERROR(RemoveTree(gone));
  }
  if (oldest.empty()) {
    return absl::OkStatus();
  }
  MG_ASSIGN_OR_RETURN(std::string label, ReadFile(JoinPath(Place(oldest), "data/backup_label")));
  MG_ASSIGN_OR_RETURN(std::string manifest, ReadFile(JoinPath(Place(oldest), "data/backup_manifest")));
  MG_ASSIGN_OR_RETURN(CopyFacts facts, ReadCopyFacts(label, manifest));
  MG_ASSIGN_OR_RETURN(pginstall::Installation programs, Programs());
  MG_ASSIGN_OR_RETURN(HelperResult result,
                      Run({programs.Program("pg_archivecleanup"), Wal(), facts.first_segment}, deadline, cancelled));
  return result.exit_code == 0 ? RemoveOtherSegments(facts.first_segment)
                               : absl::InternalError(absl::StrCat("pg_archivecleanup failed: ", result.standard_error));
}

absl::StatusOr<std::string> BaseBackups::Verify(absl::Time deadline, const std::atomic<bool>* cancelled) {
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> all, List(deadline));
  MG_ASSIGN_OR_RETURN(pginstall::Installation programs, Programs());
  std::string output;
  std::vector<std::string> damaged;
  for (const Metadata& backup : all) {
    MG_ASSIGN_OR_RETURN(
        HelperResult result,
        Run({programs.Program("pg_verifybackup"), JoinPath(Place(backup.backup_id()), "data")}, deadline, cancelled));
    bool good = result.exit_code == 0 && backup.status() == Metadata::COMPLETE;
    absl::StrAppend(&output, backup.backup_id(), ": ", result.standard_output, result.standard_error);
    if (!good) {
      damaged.push_back(backup.backup_id());
      absl::StrAppend(&output, backup.status() == Metadata::COMPLETE ? "" : "incomplete\n");
    }
  }
  if (!damaged.empty()) {
    return MakeError(
        absl::StatusCode::kDataLoss,
        absl::StrCat(damaged.size() == 1 ? "damaged backup: " : "damaged backups: ", absl::StrJoin(damaged, ", ")),
        {.reason = "BACKUP_DAMAGED",
         .hint = "make a new backup: multigres backup create",
         .log_tail = absl::StrSplit(output, '\n', absl::SkipEmpty())});
  }
  return output;
}

absl::StatusOr<int> BaseBackups::TimelineOf(const std::string& backup_id, absl::Time) {
  const std::string data = JoinPath(Place(backup_id), "data");
  MG_ASSIGN_OR_RETURN(std::string label, ReadFile(JoinPath(data, "backup_label")));
  MG_ASSIGN_OR_RETURN(std::string manifest, ReadFile(JoinPath(data, "backup_manifest")));
  MG_ASSIGN_OR_RETURN(CopyFacts facts, ReadCopyFacts(label, manifest));
  return facts.timeline;
}

absl::Status BaseBackups::Restore(const RestoreRequest& request, absl::Time deadline,
                                  const std::atomic<bool>* cancelled) {
  std::string from = JoinPath(Place(request.backup_id), "data");
  if (!Exists(JoinPath(from, "PG_VERSION"))) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no backup ", request.backup_id),
                     {.reason = "UNKNOWN_BACKUP", .hint = "multigres backup list shows them"});
  }
  absl::Status status = [&]() -> absl::Status {
    MG_RETURN_IF_ERROR(MakePrivateFor(request.directory, server_.run_as));
    MG_ASSIGN_OR_RETURN(HelperResult copied,
                        Run({"cp", "-a", "--reflink=auto", from + "/.", request.directory}, deadline, cancelled));
    if (copied.exit_code != 0) {
      return absl::InternalError(absl::StrCat("the backup cannot be copied: ", copied.standard_error));
    }
    // PostgreSQL starts from pages that are broken, and finds out when somebody reads them.
    MG_ASSIGN_OR_RETURN(pginstall::Installation programs, Programs());
    MG_ASSIGN_OR_RETURN(HelperResult verified,
                        Run({programs.Program("pg_verifybackup"), request.directory}, deadline, cancelled));
    if (verified.exit_code != 0) {
      return MakeError(
          absl::StatusCode::kDataLoss,
          absl::StrCat("backup ", request.backup_id, " is damaged: ",
                       absl::string_view(verified.standard_error).substr(0, verified.standard_error.find('\n'))),
          {.reason = "BACKUP_DAMAGED", .hint = "restore another one: multigres backup list, multigres backup verify"});
    }
    return PrepareRecovery(request, RestoreCommand(repository_), server_.run_as);
  }();
  if (!status.ok()) {
    if (absl::Status removed = RemoveTree(request.directory); !removed.ok()) {
      log::Warn("could not remove an unfinished restore", {{"error", removed}});
    }
  }
  return status;
}

}  // namespace

absl::StatusOr<CopyFacts> ReadCopyFacts(const std::string& backup_label, const std::string& manifest) {
  CopyFacts facts;
  static const RE2 kStart(R"(START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\))");
  if (!RE2::PartialMatch(backup_label, kStart, &facts.start_lsn, &facts.first_segment)) {
    return absl::DataLossError("backup_label does not say where its WAL starts");
  }
  // The ranges stand at the manifest's end, after one entry for each file.
  constexpr std::size_t kTail = 4096;
  absl::string_view tail(manifest);
  tail.remove_prefix(tail.size() > kTail ? tail.size() - kTail : 0);
  static const RE2 kEnd(R"~("End-LSN":\s*"([0-9A-F]+/[0-9A-F]+)")~");
  re2::StringPiece rest(tail.data(), tail.size());
  while (RE2::FindAndConsume(&rest, kEnd, &facts.stop_lsn)) {
  }
  static const RE2 kTimeline(R"~("Timeline":\s*([0-9]+))~");
  rest = re2::StringPiece(tail.data(), tail.size());
  while (RE2::FindAndConsume(&rest, kTimeline, &facts.timeline)) {
  }
  if (facts.stop_lsn.empty() || facts.timeline == 0) {
    return absl::DataLossError("backup_manifest does not say where its WAL ends");
  }
  return facts;
}

std::unique_ptr<Engine> MakeBaseBackups(std::string repository, Server server) {
  return std::make_unique<BaseBackups>(std::move(repository), std::move(server));
}

}  // namespace mg::multipooler::backup
