#include "components/multipooler/backup/restore_settings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/fs/owner.h"
#include "common/status/status.h"

namespace mg::multipooler::backup {
namespace {

constexpr char kTimeFormat[] = "%Y-%m-%d %H:%M:%E6S+00";

std::string Quote(const std::string& text) { return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}}), "'"); }

bool IsOneOf(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

absl::Status MakePrivateFor(const std::string& path, const std::string& user) {
  MG_RETURN_IF_ERROR(MakeDirectories(DirName(path), 0711));
  MG_RETURN_IF_ERROR(MakeDirectories(path, 0700));
  return ChangeOwner(path, user);
}

const std::vector<std::string>& RecoverySettings() {
  static const auto* const kNames = new std::vector<std::string>{
      "restore_command",        "recovery_target",      "recovery_target_time",     "recovery_target_timeline",
      "recovery_target_action", "recovery_target_name", "recovery_target_inclusive"};
  return *kNames;
}

absl::Status PrepareRecovery(const RestoreRequest& request, const std::string& restore_command,
                             const std::string& owner) {
  const std::string path = JoinPath(request.directory, "postgresql.auto.conf");
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  std::string edited;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, line.find('=')));
    if (!IsOneOf(RecoverySettings(), name) && name != "primary_conninfo" && name != "synchronous_standby_names") {
      absl::StrAppend(&edited, line, "\n");
    }
  }
  absl::StrAppend(&edited, "restore_command = ", Quote(restore_command),
                  "\nrecovery_target_timeline = ", Quote(request.timeline), "\n");
  if (request.target_time < absl::InfiniteFuture()) {
    absl::StrAppend(&edited, "recovery_target_time = ",
                    Quote(absl::FormatTime(kTimeFormat, request.target_time, absl::UTCTimeZone())),
                    "\nrecovery_target_inclusive = 'true'\nrecovery_target_action = 'promote'\n");
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, edited, 0600));
  MG_RETURN_IF_ERROR(ChangeOwner(path, owner));
  for (const char* name : {"standby.signal", "recovery.signal"}) {
    MG_RETURN_IF_ERROR(RemoveTree(JoinPath(request.directory, name)));
  }
  std::string signal = JoinPath(request.directory, request.standby ? "standby.signal" : "recovery.signal");
  MG_RETURN_IF_ERROR(WriteFileAtomically(signal, "", 0600));
  return ChangeOwner(signal, owner);
}

}  // namespace mg::multipooler::backup
