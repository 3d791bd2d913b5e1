#include "components/multipooler/backup/rehearsal.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/status/status.h"

namespace mg::multipooler::backup {

std::string LastFatal(const std::string& log) {
  std::string found, last;
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipWhitespace())) {
    last = std::string(line);
    for (absl::string_view level : {"FATAL:  ", "PANIC:  "}) {
      if (std::size_t at = line.find(level); at != absl::string_view::npos) {
        found = std::string(line.substr(at + level.size()));
      }
    }
  }
  return found.empty() ? last : found;
}

std::string LastCommit(const std::string& log) {
  constexpr absl::string_view kWords = "last completed transaction was at log time ";
  const absl::string_view::size_type at = absl::string_view(log).rfind(kWords);
  if (at == std::string::npos) {
    return "";
  }
  absl::string_view rest = absl::string_view(log).substr(at + kWords.size());
  return std::string(rest.substr(0, rest.find('\n')));
}

namespace {

absl::Status Gap(const std::string& last_commit) {
  return MakeError(
      absl::StatusCode::kDataLoss,
      absl::StrCat("the archive has a gap: ",
                   last_commit.empty() ? "nothing behind the backup can be recovered"
                                       : absl::StrCat("the last commit that can be recovered is of ", last_commit)),
      {.reason = "ARCHIVE_GAP",
       .hint =
           "--to-time with an earlier moment gives what there is; 'multigres backup verify' tells what is missing"});
}

}  // namespace

bool EndedBeforeTarget(const absl::Status& rehearsed) {
  return absl::StrContains(rehearsed.message(), "recovery ended before configured recovery target was reached");
}

absl::Status Rehearse(const RestoreRequest& request, const Server& server, absl::Time deadline,
                      const std::atomic<bool>* cancelled) {
  MG_ASSIGN_OR_RETURN(pginstall::Installation programs, pginstall::Choose(request.directory, server.postgres_major));
  std::vector<std::string> argv = {programs.Program("postgres"), "-D", request.directory};
  std::vector<std::string> settings = {
      // A socket there must be; no connection is taken by a server that is in recovery and no hot standby.
      "listen_addresses=",
      "unix_socket_directories=" + server.socket_directory,
      "port=1",
      "hot_standby=off",
      "ssl=off",
      "archive_mode=off",
      "recovery_target_action=shutdown",
      "logging_collector=off",
      "log_destination=stderr",
      "shared_buffers=16MB"};
  const bool reaches = request.target_time == absl::InfiniteFuture() && !request.reach_lsn.empty();
  if (reaches) {
    settings.push_back("recovery_target_lsn=" + request.reach_lsn);
  } else if (request.target_time == absl::InfiniteFuture()) {
    settings.emplace_back("recovery_target=immediate");
  }
  for (std::string& setting : settings) {
    argv.emplace_back("-c");
    argv.push_back(std::move(setting));
  }
  MG_ASSIGN_OR_RETURN(HelperResult result, RunHelper({.argv = std::move(argv),
                                                      .environment = {"LC_ALL=C"},
                                                      .working_directory = "/",
                                                      .run_as = server.run_as,
                                                      .timeout = deadline - absl::Now(),
                                                      .cancelled = cancelled}));
  if (result.exit_code == 0) {
    return absl::OkStatus();
  }
  absl::Status failure = absl::FailedPreconditionError(LastFatal(result.standard_error));
  return reaches && EndedBeforeTarget(failure) ? Gap(LastCommit(result.standard_error)) : failure;
}

}  // namespace mg::multipooler::backup
