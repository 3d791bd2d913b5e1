#include "components/pgctld/data_dir.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/status/status.h"
#include "components/pgctld/configuration.h"
#include "components/pgctld/data_files.h"
#include "components/pgctld/initial_sql.h"

namespace mg::pgctld {
namespace {

constexpr size_t kTailLines = 12;

/// initdb works here and the result is renamed: a data directory is there as a whole or not at all.
std::string WorkDirectory(const Options& options) { return absl::StrCat(options.data_dir, ".initdb"); }

absl::Status InitdbError(const Options& options, const HelperResult& result) {
  std::string output = absl::StrCat(result.standard_output, result.standard_error);
  std::vector<std::string> lines = absl::StrSplit(absl::StripAsciiWhitespace(output), '\n');
  if (lines.size() > kTailLines) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kTailLines));
  }
  ErrorDetail detail{.reason = "INITDB_FAILED", .subject = options.name, .log_tail = lines};
  absl::StatusCode code = absl::StatusCode::kInternal;
  std::string why = absl::StrCat("exit status ", result.exit_code);
  if (constexpr char kFull[] = "No space left on device";
      absl::StrContains(output, kFull) || absl::StrContains(output, "Check free disk space")) {
    code = absl::StatusCode::kResourceExhausted;
    why = kFull;
    detail.hint = absl::StrCat("free some space below ", options.pooler_dir, " and try again");
  } else if (std::string closed = ClosedDirectoryAbove(options.data_dir, options.run_as); !closed.empty()) {
    code = absl::StatusCode::kPermissionDenied;
    why = absl::StrCat("user ", options.run_as, " may not enter ", closed);
    detail.hint = "keep the cluster in a directory that PostgreSQL's user can enter (MULTIGRES_HOME)";
  }
  return MakeError(code, absl::StrCat("initdb failed: ", why), detail);
}

absl::Status RunInitdb(const Options& options, const pginstall::Installation& installation,
                       const std::string& directory) {
  // initdb runs as PostgreSQL's user and must read it; it is gone before anything else happens.
  std::string password_file = JoinPath(directory, ".password");
  MG_RETURN_IF_ERROR(WriteFileAtomically(password_file, options.password + "\n", 0600));
  MG_RETURN_IF_ERROR(GiveToUser(password_file, options.run_as));
  std::vector<std::string> argv = {installation.Program("initdb"),
                                   "-D",
                                   JoinPath(directory, "data"),
                                   "-U",
                                   options.user,
                                   absl::StrCat("--pwfile=", password_file),
                                   "--auth-local=scram-sha-256",
                                   "--auth-host=scram-sha-256",
                                   "--encoding=UTF8",
                                   "--locale=C.UTF-8",
                                   "--data-checksums",
                                   "--no-sync",
                                   "--no-instructions"};
  for (absl::string_view word : absl::StrSplit(options.initdb_args, ' ', absl::SkipEmpty())) {
    argv.emplace_back(word);
  }
  absl::StatusOr<HelperResult> result = RunHelper({.argv = argv,
                                                   .environment = {"LC_ALL=C.UTF-8"},
                                                   .working_directory = "/",
                                                   .run_as = options.run_as,
                                                   .timeout = absl::Minutes(5)});
  ::unlink(password_file.c_str());
  MG_RETURN_IF_ERROR(result.status());
  return result->exit_code == 0 ? absl::OkStatus() : InitdbError(options, *result);
}

/// Everything up to a configured data directory at `result`, below the work directory.
absl::Status Prepare(const Options& options, const pginstall::Installation& installation, const std::string& work,
                     const std::string& result) {
  MG_RETURN_IF_ERROR(RemoveTree(work));
  MG_RETURN_IF_ERROR(MakeDirectories(work, 0700));
  MG_RETURN_IF_ERROR(GiveToUser(work, options.run_as));
  MG_RETURN_IF_ERROR(RunInitdb(options, installation, work));
  MG_RETURN_IF_ERROR(WriteConfiguration(options, result));
  if (HasInitialSql(options) && !std::ofstream(JoinPath(result, kUnfinishedMark))) {
    return ErrnoStatus(errno, absl::StrCat("write ", result, "/", kUnfinishedMark));
  }
  if (::rename(result.c_str(), options.data_dir.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("rename ", result, " to ", options.data_dir));
  }
  return absl::OkStatus();
}

/// Free for a new data directory: nothing there, an empty directory, or one of ours whose first SQL was cut off.
absl::Status MakeRoom(const Options& options, PostgresServer* server) {
  if (Exists(JoinPath(options.data_dir, kUnfinishedMark))) {
    MG_RETURN_IF_ERROR(server->Stop("immediate").status());
    return RemoveTree(options.data_dir);
  }
  std::error_code error;
  if (Exists(options.data_dir) && (!std::filesystem::is_empty(options.data_dir, error) || error)) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("directory ", options.data_dir,
                                  error ? absl::StrCat(" cannot be read: ", error.message())
                                        : " is not empty and is no data directory; nothing was touched"),
                     {.reason = "DIRECTORY_NOT_EMPTY",
                      .hint = absl::StrCat("move it away, or give another directory than ", options.data_dir),
                      .subject = options.name});
  }
  return absl::OkStatus();
}

}  // namespace

void RemoveUnfinished(const Options& options) {
  if (absl::Status removed = RemoveTree(WorkDirectory(options)); !removed.ok()) {
    log::Error("what an unfinished initdb left cannot be removed", {{"error", removed}});
  }
}

absl::StatusOr<bool> InitDataDir(const Options& options, PostgresServer* server) {
  if (server->Initialized()) {
    return true;
  }
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation,
                      options.version == 0 ? pginstall::Newest() : pginstall::OfMajor(options.version));
  MG_RETURN_IF_ERROR(MakeDirectories(options.pooler_dir, options.run_as.empty() ? 0700 : 0711));
  MG_RETURN_IF_ERROR(MakeDirectories(DirName(options.data_dir), options.run_as.empty() ? 0700 : 0711));
  MG_RETURN_IF_ERROR(MakeRoom(options, server));
  std::string work = WorkDirectory(options);
  absl::Status status = Prepare(options, installation, work, JoinPath(work, "data"));
  if (absl::Status removed = RemoveTree(work); !removed.ok()) {
    log::Error("a work directory could not be removed", {{"error", removed}});
  }
  MG_RETURN_IF_ERROR(status);
  if (HasInitialSql(options)) {
    status = RunInitialSql(options, installation, server);
    std::string mark = JoinPath(options.data_dir, kUnfinishedMark);
    if (status.ok() && ::unlink(mark.c_str()) != 0) {
      status = ErrnoStatus(errno, absl::StrCat("remove ", mark));
    }
    if (!status.ok()) {
      absl::Status removed = server->Stop("immediate").status();
      removed = removed.ok() ? RemoveTree(options.data_dir) : removed;
      if (!removed.ok()) {
        log::Error("a failed data directory could not be removed", {{"error", removed}});
      }
      return status;
    }
  }
  log::Info("data directory initialised", {{"data_dir", options.data_dir}, {"version", installation.version}});
  return false;
}

}  // namespace mg::pgctld
