#include "components/multipooler/backup/pgbackrest.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <re2/re2.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/status/status.h"
#include "components/multipooler/backup/archive.h"
#include "components/multipooler/backup/restore_settings.h"

namespace mg::multipooler::backup {
namespace {

using Metadata = multipoolermanagerdata::BackupMetadata;
using google::protobuf::Struct;
using google::protobuf::Value;

constexpr char kStanza[] = "multigres";
constexpr int kRetentionFull = 7;

// Exit statuses of pgBackRest: a checksum differs; what is compressed or framed has not its form; it knows no such
// option.
constexpr int kChecksumError = 26;
constexpr int kFormatError = 29;
constexpr int kOptionInvalidError = 31;

const Value& Field(const Value& value, const std::string& name) {
  static const auto* const kNothing = new Value();
  auto found = value.struct_value().fields().find(name);
  return found == value.struct_value().fields().end() ? *kNothing : found->second;
}

absl::StatusOr<Value> ParseList(const std::string& json) {
  Value root;
  if (!google::protobuf::util::JsonStringToMessage(json, &root).ok() || !root.has_list_value()) {
    return absl::DataLossError("pgbackrest info did not print a JSON list");
  }
  return root;
}

class PgBackRest final : public Engine {
 public:
  PgBackRest(std::string program, std::string repository, Server server)
      : program_(std::move(program)), repository_(std::move(repository)), server_(std::move(server)) {}

  std::string name() const override { return "pgBackRest"; }
  bool Owns(const std::string& backup_id) const override {
    return absl::EndsWith(backup_id, "F") || absl::EndsWith(backup_id, "D") || absl::EndsWith(backup_id, "I");
  }
  bool CanUse(const std::string& archive_mode) const override {
    return archive_mode == "always" || archive_mode == "on";  // (the latter in clusters that earlier versions made)
  }

  absl::StatusOr<Metadata> Take(const TakeRequest& request, absl::Time deadline,
                                const std::atomic<bool>* cancelled) override;
  absl::StatusOr<std::vector<Metadata>> List(absl::Time deadline) override;
  std::vector<std::string> WalDirectories() const override {
    return {JoinPath(Repo(), absl::StrCat("archive/", kStanza)), JoinPath(repository_, "wal")};
  }
  absl::StatusOr<int> TimelineOf(const std::string& backup_id, absl::Time deadline) override;
  absl::Status Expire(int retention_full, absl::Time deadline, const std::atomic<bool>* cancelled) override;
  absl::StatusOr<std::string> Verify(absl::Time deadline, const std::atomic<bool>* cancelled) override;
  absl::Status Restore(const RestoreRequest& request, absl::Time deadline, const std::atomic<bool>* cancelled) override;

 private:
  absl::StatusOr<std::string> Info(absl::Time deadline) const;
  std::string Repo() const { return JoinPath(repository_, "pgbackrest"); }
  bool HasStanza() const { return Exists(JoinPath(Repo(), "backup/multigres/backup.info")); }
  std::string LockPath() const { return JoinPath(DirName(server_.data_directory), "pgbackrest-lock"); }
  std::vector<std::string> Common(const std::string& level = "warn") const;
  void AddServer(int number, const std::string& data, const std::string& socket, int port,
                 std::vector<std::string>* argv) const;
  /// The output of a successful run. Else with what it said UNIMPLEMENTED when it does not know an option,
  /// BACKUP_DAMAGED of a restore, or INTERNAL.
  absl::StatusOr<std::string> Run(std::vector<std::string> argv, absl::Time deadline,
                                  const std::atomic<bool>* cancelled) const;

  const std::string program_;
  const std::string repository_;
  const Server server_;
};

std::vector<std::string> PgBackRest::Common(const std::string& level) const {
  return {program_,
          absl::StrCat("--stanza=", kStanza),
          "--repo1-path=" + Repo(),
          "--config=/dev/null",  // the machine's own configuration is somebody else's
          "--log-level-file=off",
          "--log-level-console=" + level,
          "--lock-path=" + LockPath()};
}

void PgBackRest::AddServer(int number, const std::string& data, const std::string& socket, int port,
                           std::vector<std::string>* argv) const {
  std::string prefix = absl::StrCat("--pg", number, "-");
  argv->push_back(prefix + "path=" + data);
  argv->push_back(prefix + "socket-path=" + socket);
  argv->push_back(absl::StrCat(prefix, "port=", port));
  argv->push_back(prefix + "user=" + server_.superuser);
}

/// `ERROR: [029]: raised from …: unable to …`, without what stands before it.
std::string FirstError(const std::string& output) {
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (std::size_t at = line.find("ERROR: "); at != absl::string_view::npos) {
      return std::string(line.substr(at + 7));
    }
  }
  return "pgbackrest does not say where";
}

absl::StatusOr<std::string> PgBackRest::Run(std::vector<std::string> argv, absl::Time deadline,
                                            const std::atomic<bool>* cancelled) const {
  MG_RETURN_IF_ERROR(MakePrivateFor(LockPath(), server_.run_as));
  std::string command = argv.back();
  MG_ASSIGN_OR_RETURN(HelperResult result, RunHelper({.argv = std::move(argv),
                                                      .environment = {"PGPASSFILE=" + server_.passfile, "LC_ALL=C"},
                                                      .working_directory = "/",
                                                      .run_as = server_.run_as,
                                                      .timeout = deadline - absl::Now(),
                                                      .cancelled = cancelled}));
  if (command == "restore" && (result.exit_code == kChecksumError || result.exit_code == kFormatError)) {
    return MakeError(
        absl::StatusCode::kDataLoss,
        absl::StrCat("the backup is damaged: ", FirstError(result.standard_error + result.standard_output)),
        {.reason = "BACKUP_DAMAGED", .hint = "restore another one: multigres backup list, multigres backup verify"});
  }
  if (result.exit_code != 0) {
    return absl::Status(
        result.exit_code == kOptionInvalidError ? absl::StatusCode::kUnimplemented : absl::StatusCode::kInternal,
        absl::StrCat("pgbackrest ", command, " failed with exit status ", result.exit_code, ": ", result.standard_error,
                     result.standard_output));
  }
  return result.standard_output;
}

absl::StatusOr<Metadata> PgBackRest::Take(const TakeRequest& request, absl::Time deadline,
                                          const std::atomic<bool>* cancelled) {
  std::string type = request.type == "differential" ? "diff" : request.type == "incremental" ? "incr" : request.type;
  if (type != "full" && type != "diff" && type != "incr") {
    return absl::InvalidArgumentError(
        absl::StrCat("'", request.type, "' is no type of backup: full, differential, incremental"));
  }
  bool primary = request.role == clustermetadata::ROUTING_ROLE_PRIMARY;
  if (!primary && !request.primary.has_value()) {
    return absl::FailedPreconditionError(
        "pgBackRest copies a standby only beside its primary on the same machine; make the backup from the primary");
  }
  MG_RETURN_IF_ERROR(MakePrivateFor(repository_, server_.run_as));
  MG_RETURN_IF_ERROR(MakePrivateFor(Repo(), server_.run_as));
  MG_RETURN_IF_ERROR(WriteArchiveScript(repository_, server_.run_as));
  std::vector<std::string> argv = Common();
  if (primary) {
    AddServer(1, server_.data_directory, server_.socket_directory, server_.port, &argv);
  } else {
    AddServer(1, request.primary->data_directory, request.primary->socket_directory, request.primary->port, &argv);
    AddServer(2, server_.data_directory, server_.socket_directory, server_.port, &argv);
  }
  if (!HasStanza()) {
    std::vector<std::string> create = argv;
    create.emplace_back("stanza-create");
    MG_RETURN_IF_ERROR(Run(std::move(create), deadline, cancelled).status());
  }
  if (!primary) {
    argv.emplace_back("--backup-standby");
  }
  MG_ASSIGN_OR_RETURN(pginstall::Installation programs,
                      pginstall::Choose(server_.data_directory, server_.postgres_major));
  argv.push_back("--type=" + type);
  argv.emplace_back("--start-fast");
  argv.emplace_back("--no-archive-mode-check");  // every node archives; the script settles where they differ
  argv.push_back(absl::StrCat("--repo1-retention-full=", kRetentionFull));
  argv.emplace_back("--no-expire-auto");
  argv.push_back("--annotation=job_id=" + request.job_id);
  argv.push_back("--annotation=table_group=" + request.shard.table_group());
  argv.push_back("--annotation=shard=" + request.shard.shard());
  argv.push_back("--annotation=multipooler_id=" + request.pooler_name);
  argv.push_back("--annotation=pooler_type=" + clustermetadata::RoutingRole_Name(request.role));
  argv.push_back(absl::StrCat("--annotation=pg_version=", programs.major));
  argv.emplace_back("backup");
  MG_RETURN_IF_ERROR(Run(std::move(argv), deadline, cancelled).status());
  MG_ASSIGN_OR_RETURN(std::vector<Metadata> all, List(deadline));
  for (const Metadata& backup : all) {
    if (backup.job_id() == request.job_id) {
      return backup;
    }
  }
  return absl::InternalError("pgBackRest made a backup and does not list it");
}

absl::StatusOr<std::vector<Metadata>> PgBackRest::List(absl::Time deadline) {
  if (!HasStanza()) {
    return std::vector<Metadata>();
  }
  MG_ASSIGN_OR_RETURN(std::string json, Info(deadline));
  return ParseInfo(json);
}

absl::StatusOr<std::string> PgBackRest::Info(absl::Time deadline) const {
  std::vector<std::string> argv = Common();
  argv.emplace_back("--output=json");
  argv.emplace_back("info");
  return Run(std::move(argv), deadline, nullptr);
}

absl::StatusOr<int> PgBackRest::TimelineOf(const std::string& backup_id, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::string json, Info(deadline));
  return ParseTimeline(json, backup_id);
}

absl::Status PgBackRest::Expire(int retention_full, absl::Time deadline, const std::atomic<bool>* cancelled) {
  if (!HasStanza()) {
    return absl::OkStatus();
  }
  std::vector<std::string> argv = Common();
  argv.push_back(absl::StrCat("--repo1-retention-full=", retention_full));
  argv.emplace_back("expire");
  return Run(std::move(argv), deadline, cancelled).status();
}

absl::StatusOr<std::string> PgBackRest::Verify(absl::Time deadline, const std::atomic<bool>* cancelled) {
  if (!HasStanza()) {
    return std::string();
  }
  std::vector<std::string> argv = Common("info");  // what it finds it tells as a log
  std::erase_if(argv, [](const std::string& word) { return absl::StartsWith(word, "--lock-path"); });  // it knows none
  argv.emplace_back("verify");
  MG_ASSIGN_OR_RETURN(std::string output, Run(std::move(argv), deadline, cancelled));
  MG_RETURN_IF_ERROR(CheckVerified(output));
  return output;
}

absl::Status PgBackRest::Restore(const RestoreRequest& request, absl::Time deadline,
                                 const std::atomic<bool>* cancelled) {
  absl::Status status = [&]() -> absl::Status {
    MG_RETURN_IF_ERROR(MakePrivateFor(request.directory, server_.run_as));
    std::vector<std::string> argv = Common();
    argv.push_back("--pg1-path=" + request.directory);
    argv.push_back("--set=" + request.backup_id);
    argv.emplace_back("--type=none");  // recovery's settings are our own
    std::vector<std::string> soon = argv;
    argv.emplace_back("restore");
    // A file that it cannot read it tries again at once, and then after long waits; but what is damaged in a directory
    // of this machine stays damaged. The option is one of pgBackRest's internal ones, which another version may lack.
    soon.emplace_back("--job-retry=1");
    soon.emplace_back("restore");
    absl::Status restored = Run(std::move(soon), deadline, cancelled).status();
    MG_RETURN_IF_ERROR(absl::IsUnimplemented(restored) ? Run(std::move(argv), deadline, cancelled).status() : restored);
    std::string get = absl::StrCat(ShellQuote(program_), " --stanza=", kStanza, " --repo1-path=", ShellQuote(Repo()),
                                   " --config=/dev/null --log-level-file=off --lock-path=", ShellQuote(LockPath()),
                                   // Where it is recovered, which is not always where it is to serve.
                                   " --pg1-path=\"$PWD\" archive-get \"%f\" \"%p\" || { ",
                                   // What was written while pgBackRest was not installed.
                                   RestoreCommand(repository_), "; }");
    return PrepareRecovery(request, get, server_.run_as);
  }();
  if (!status.ok()) {
    (void)RemoveTree(request.directory);
  }
  return status;
}

}  // namespace

absl::Status CheckVerified(const std::string& output) {
  constexpr absl::string_view kBackup = "backup: ";
  std::string first;
  std::vector<std::string> backups;
  bool damaged = false;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    damaged |= line == "status: error";
    for (absl::string_view words : {"invalid ", "file missing "}) {
      if (std::size_t at = line.find(words); first.empty() && at != absl::string_view::npos) {
        first = std::string(line.substr(at));
      }
    }
    if (absl::ConsumePrefix(&line, kBackup) && absl::StrContains(line, "status: invalid")) {
      backups.emplace_back(line.substr(0, line.find(',')));
    }
  }
  if (!damaged) {
    return absl::OkStatus();
  }
  const char* noun = backups.size() == 1 ? ": backup " : ": backups ";
  return MakeError(
      absl::StatusCode::kDataLoss,
      absl::StrCat("the repository is damaged", backups.empty() ? "" : absl::StrCat(noun, absl::StrJoin(backups, ", ")),
                   first.empty() ? "" : absl::StrCat(": ", first)),
      {.reason = "BACKUP_DAMAGED", .hint = "make a new backup: multigres backup create"});
}

absl::StatusOr<std::vector<Metadata>> ParseInfo(const std::string& json) {
  MG_ASSIGN_OR_RETURN(Value root, ParseList(json));
  std::vector<Metadata> all;
  for (const Value& stanza : root.list_value().values()) {
    for (const Value& entry : Field(stanza, "backup").list_value().values()) {
      const Value& notes = Field(entry, "annotation");
      Metadata backup;
      backup.set_backup_id(Field(entry, "label").string_value());
      backup.set_type(Field(entry, "type").string_value());
      backup.set_status(Field(entry, "error").bool_value() ? Metadata::INCOMPLETE : Metadata::COMPLETE);
      backup.set_start_lsn(Field(Field(entry, "lsn"), "start").string_value());
      backup.set_stop_lsn(Field(Field(entry, "lsn"), "stop").string_value());
      backup.set_backup_size_bytes(
          static_cast<std::uint64_t>(Field(Field(Field(entry, "info"), "repository"), "size").number_value()));
      backup.mutable_start_timestamp()->set_seconds(
          static_cast<std::int64_t>(Field(Field(entry, "timestamp"), "start").number_value()));
      backup.mutable_stop_timestamp()->set_seconds(
          static_cast<std::int64_t>(Field(Field(entry, "timestamp"), "stop").number_value()));
      backup.set_job_id(Field(notes, "job_id").string_value());
      backup.set_table_group(Field(notes, "table_group").string_value());
      backup.set_shard(Field(notes, "shard").string_value());
      backup.set_multipooler_id(Field(notes, "multipooler_id").string_value());
      backup.set_pg_version(Field(notes, "pg_version").string_value());
      clustermetadata::RoutingRole role;
      if (clustermetadata::RoutingRole_Parse(Field(notes, "pooler_type").string_value(), &role)) {
        backup.set_routing_role(role);
      }
      all.push_back(std::move(backup));
    }
  }
  std::reverse(all.begin(), all.end());
  return all;
}

absl::StatusOr<int> ParseTimeline(const std::string& json, const std::string& backup_id) {
  constexpr std::size_t kDigits = 8;  // of a segment's name
  MG_ASSIGN_OR_RETURN(Value root, ParseList(json));
  for (const Value& stanza : root.list_value().values()) {
    for (const Value& entry : Field(stanza, "backup").list_value().values()) {
      const std::string& last = Field(Field(entry, "archive"), "stop").string_value();
      int timeline = 0;
      if (Field(entry, "label").string_value() == backup_id &&
          absl::SimpleHexAtoi(last.substr(0, kDigits), &timeline)) {
        return timeline;
      }
    }
  }
  return absl::DataLossError(absl::StrCat("pgbackrest info does not say where the log of backup ", backup_id, " ends"));
}

std::vector<Metadata> UnreadableBackups(const std::string& repository) {
  // 20261129-071953F, and 20261129-071953F_20261129-080000I of what depends on it.
  static const RE2 kName(R"(\d{8}-\d{6}F(_\d{8}-\d{6}([DI]))?)");
  std::vector<Metadata> all;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(JoinPath(repository, absl::StrCat("pgbackrest/backup/", kStanza)), error)) {
    const std::string name = entry.path().filename().string();
    std::string kind;
    if (entry.is_directory(error) && !entry.is_symlink(error) && RE2::FullMatch(name, kName, nullptr, &kind)) {
      Metadata backup;
      backup.set_backup_id(name);
      backup.set_type(kind.empty() ? "full" : kind == "D" ? "diff" : "incr");
      all.push_back(std::move(backup));
    }
  }
  std::sort(all.begin(), all.end(), [](const Metadata& a, const Metadata& b) { return a.backup_id() > b.backup_id(); });
  return all;
}

std::unique_ptr<Engine> FindPgBackRest(const std::string& repository, const Server& server) {
  absl::StatusOr<std::string> program = FindProgram("pgbackrest", {"/usr/bin"});
  return program.ok() ? std::make_unique<PgBackRest>(*program, repository, server) : nullptr;
}

}  // namespace mg::multipooler::backup
