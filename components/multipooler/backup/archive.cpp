#include "components/multipooler/backup/archive.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/fs/fs.h"
#include "common/fs/owner.h"
#include "common/process/helper.h"
#include "common/status/status.h"
#include "components/multipooler/backup/restore_settings.h"

namespace mg::multipooler::backup {
namespace {

constexpr char kPgBackRest[] = "pgbackrest";
constexpr char kScriptName[] = "pgbackrest-or-copy.sh";

// PostgreSQL replaces %p, %f and %% in its commands.
std::string PercentQuote(const std::string& text) { return absl::StrReplaceAll(text, {{"%", "%%"}}); }

// $1: path of the segment, below the data directory in which PostgreSQL runs this. $2: its name.
constexpr char kScript[] = R"sh(#!/bin/sh
# Keeps one segment of WAL. Written by multipooler with the first backup; removed, nothing is kept any more.
set -eu
repository=@REPOSITORY@
segment=$1
name=$2
if [ -d "$repository/base" ]; then
  kept="$repository/wal/$name"
  if [ -e "$kept" ]; then
    cmp -s "$segment" "$kept"
  else
    part="$repository/wal/.$name.$$"
    trap 'rm -f "$part"' EXIT
    cp "$segment" "$part"
    sync "$part"
    # Another node may have been faster; what it kept stays.
    ln "$part" "$kept" 2>/dev/null || cmp -s "$segment" "$kept"
    sync "$repository/wal"
  fi
fi
if [ -d "$repository/pgbackrest/archive/multigres" ]; then
  @PGBACKREST@ --stanza=multigres --repo1-path="$repository/pgbackrest" --pg1-path="$PWD" --config=/dev/null \
    --log-level-file=off --lock-path="$PWD/../pgbackrest-lock" --log-level-console=warn archive-push "$segment"
fi
)sh";

std::string Script(const std::string& repository) { return JoinPath(repository, kScriptName); }

}  // namespace

std::string ShellQuote(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string ArchiveCommand(const std::string& repository) {
  std::string script = PercentQuote(ShellQuote(Script(repository)));
  return absl::StrCat("test ! -e ", script, " || sh ", script, " \"%p\" \"%f\"");
}

std::string RestoreCommand(const std::string& repository) {
  // A segment that is not there is no error to tell of: so recovery finds the end.
  std::string kept = absl::StrCat(PercentQuote(ShellQuote(JoinPath(repository, "wal"))), "/\"%f\"");
  return absl::StrCat("test -e ", kept, " && cp ", kept, " \"%p\"");
}

absl::Status WriteArchiveScript(const std::string& repository, const std::string& owner) {
  std::string path = Script(repository);
  // By its path: PostgreSQL's environment is not ours.
  std::string program = FindProgram(kPgBackRest, {"/usr/bin"}).value_or(kPgBackRest);
  std::string text =
      absl::StrReplaceAll(kScript, {{"@REPOSITORY@", ShellQuote(repository)}, {"@PGBACKREST@", ShellQuote(program)}});
  if (absl::StatusOr<std::string> present = ReadFile(path); present.ok() && *present == text) {
    return absl::OkStatus();
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, text, 0700));
  return ChangeOwner(path, owner);
}

}  // namespace mg::multipooler::backup
