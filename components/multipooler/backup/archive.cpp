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
constexpr char kUsualPlace[] = "/usr/bin/pgbackrest";  // where it is not installed, it may be later
constexpr char kScriptName[] = "pgbackrest-or-copy.sh";

// PostgreSQL replaces %p, %f and %% in its commands.
std::string PercentQuote(const std::string& text) { return absl::StrReplaceAll(text, {{"%", "%%"}}); }

// $1: path of the segment, below the data directory in which PostgreSQL runs this. $2: its name.
//
// Every node archives, and the last segment of a timeline differs between nodes behind the place where the next
// timeline left it: a standby keeps what its recycled file held there, a primary that was killed has records that
// nobody follows. What counts is the part before that place, which history files tell. Two nodes can also have begun
// timelines of the same number, one of them in vain: then what the present primary has is the shard's.
constexpr char kScript[] = R"sh(#!/bin/sh
# Keeps one segment of WAL. Written by multipooler with the first backup; removed, nothing is kept any more.
set -eu
repository=@REPOSITORY@
segment=$1
name=$2
kept="$repository/wal/$name"
part="$repository/wal/.$name.$$"
pushed="$repository/.$name.$$"
trap 'rm -f "$part" "$pushed"' EXIT

# How many bytes of this segment belong to its timeline, by the histories of the timelines that came after it.
valid_bytes() {
  size=$(wc -c <"$segment")
  digits=$(expr "$name" : '\([0-9A-F]\{24\}\)$') || { echo "$size"; return; }
  timeline=$((0x$(expr "$digits" : '\(.\{8\}\)')))
  begin=$((0x$(expr "$digits" : '.\{8\}\(.\{8\}\)') * 4294967296 + 0x$(expr "$digits" : '.\{16\}\(.\{8\}\)') * size))
  valid=0
  for history in pg_wal/*.history "$repository"/wal/*.history "$repository"/pgbackrest/archive/multigres/*/*.history; do
    [ -e "$history" ] || continue
    while read -r parent left rest; do
      [ "$parent" = "$timeline" ] || continue
      bytes=$((0x${left%/*} * 4294967296 + 0x${left#*/} - begin))
      [ "$bytes" -le "$valid" ] || valid=$bytes
    done <"$history"
  done
  if [ "$valid" -gt 0 ] && [ "$valid" -lt "$size" ]; then echo "$valid"; else echo "$size"; fi
}

copy_aside() {
  cp "$segment" "$part"
  sync "$part"
}

# For a file whose name is taken.
settle() {
  cmp -s "$segment" "$kept" && return
  case $name in
    *.partial) return 0 ;; # its WAL is in the next timeline's first segment too
  esac
  cmp -s -n "$(valid_bytes)" "$segment" "$kept" && return
  copy_aside
  if [ -e standby.signal ]; then
    echo "multigres: $name differs from the archived one; kept beside it" >&2
    mv -f "$part" "$kept.other-$(cksum <"$part" | tr ' ' '-')"
  else
    echo "multigres: $name of the primary takes the place of another one, which is kept beside it" >&2
    ln -f "$kept" "$kept.other-$(cksum <"$kept" | tr ' ' '-')"
    mv -f "$part" "$kept"
  fi
  sync "$repository/wal"
}

if [ -d "$repository/base" ]; then
  if [ -e "$kept" ]; then
    settle
  else
    copy_aside
    # Another node may have been faster.
    ln "$part" "$kept" 2>/dev/null || settle
    sync "$repository/wal"
  fi
fi

push_tool=@PGBACKREST@
run_pgbackrest() {
  "$push_tool" --stanza=multigres --repo1-path="$repository/pgbackrest" --pg1-path="$PWD" --config=/dev/null \
    --log-level-file=off --lock-path="$PWD/../pgbackrest-lock" --log-level-console=error "$@"
}

# pgBackRest has another file of this name, and replaces none. The same questions as above.
settle_pushed() {
  case $name in
    *.partial) return 0 ;;
  esac
  run_pgbackrest archive-get "$name" "$pushed"
  cmp -s -n "$(valid_bytes)" "$segment" "$pushed" && return
  if [ -e standby.signal ]; then
    echo "multigres: $name differs from the archived one, which stays" >&2
    return
  fi
  echo "multigres: $name of the primary takes the place of another one, which is kept in $repository/other" >&2
  mkdir -p "$repository/other"
  find "$repository/pgbackrest/archive/multigres" \( -name "$name" -o -name "$name-*" \) -exec mv {} "$repository/other/" \;
  run_pgbackrest archive-push "$segment"
}

# (Where the archive has been lost, or is not mounted, the push says so: WAL waits for it then.)
if [ -d "$repository/pgbackrest/archive/multigres" ] || [ -d "$repository/pgbackrest/backup/multigres" ]; then
  if [ ! -x "$push_tool" ] && [ -e "$kept" ]; then
    echo "multigres: pgBackRest, which made older backups, is not installed; $name is kept in $repository/wal alone" >&2
    exit 0
  fi
  # Two nodes would write one file at once. One that stands still holds the others up for a moment only.
  exec 9>"$repository/.push"
  flock -w 10 9 || true
  result=0
  run_pgbackrest archive-push "$segment" || result=$?
  case $result in
    0) ;;
    45) settle_pushed ;; # ArchiveDuplicateError
    *) exit "$result" ;;
  esac
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
  // By its path: PostgreSQL's environment is not ours.
  return WriteArchiveScriptFor(repository, owner, FindProgram(kPgBackRest, {"/usr/bin"}).value_or(kUsualPlace));
}

absl::Status WriteArchiveScriptFor(const std::string& repository, const std::string& owner,
                                   const std::string& pgbackrest) {
  std::string path = Script(repository);
  std::string text = absl::StrReplaceAll(
      kScript, {{"@REPOSITORY@", ShellQuote(repository)}, {"@PGBACKREST@", ShellQuote(pgbackrest)}});
  if (absl::StatusOr<std::string> present = ReadFile(path); present.ok() && *present == text) {
    return absl::OkStatus();
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(path, text, 0700));
  return ChangeOwner(path, owner);
}

}  // namespace mg::multipooler::backup
