#include "agentd/provisioners/local/machine.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"

namespace mg::local {

namespace {

constexpr absl::Duration kVersionTimeout = absl::Seconds(5);
constexpr char kDebianPostgres[] = "/usr/lib/postgresql";

std::int64_t ModifiedAt(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<std::int64_t>(info.st_mtime) : 0;
}

/// The first x.y or x.y.z in a text.
std::string FirstVersion(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (isdigit(static_cast<unsigned char>(text[i])) == 0) {
      continue;
    }
    size_t end = i;
    bool dotted = false;
    while (end < text.size() &&
           (isdigit(static_cast<unsigned char>(text[end])) != 0 ||
            (text[end] == '.' && end + 1 < text.size() && isdigit(static_cast<unsigned char>(text[end + 1])) != 0))) {
      dotted |= text[end] == '.';
      ++end;
    }
    if (dotted) {
      return text.substr(i, end - i);
    }
    i = end;
  }
  return "";
}

std::string RealPath(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string result = resolved == nullptr ? path : resolved;
  free(resolved);
  return result;
}

}  // namespace

std::string Machine::VersionOf(const std::string& program, const std::vector<std::string>& arguments) {
  struct stat info {};
  if (stat(program.c_str(), &info) != 0) {
    return "";
  }
  std::string key = absl::StrCat(program, "|", info.st_size, "|", info.st_mtime);
  {
    std::lock_guard lock(mutex_);
    if (auto known = versions_.find(key); known != versions_.end()) {
      return known->second;
    }
  }
  HelperSpec helper;
  helper.argv = {program};
  helper.argv.insert(helper.argv.end(), arguments.begin(), arguments.end());
  helper.timeout = kVersionTimeout;
  absl::StatusOr<HelperResult> result = RunHelper(helper);
  std::string version = result.ok() ? FirstVersion(result->standard_output) : "";
  std::lock_guard lock(mutex_);
  versions_[key] = version;
  return version;
}

/// Asking every installation for its version takes a process each, so it is asked again only when something changed.
void Machine::FindPostgres(MachineFacts* facts) {
  std::lock_guard lock(mutex_);
  std::string stamp =
      absl::StrCat(ModifiedAt(kDebianPostgres), "|", ModifiedAt(JoinPath(postgres_.bin_dir, "postgres")));
  if (postgres_.major == 0 || stamp != postgres_stamp_) {
    postgres_ = pginstall::Newest().value_or(pginstall::Installation{});
    postgres_stamp_ =
        absl::StrCat(ModifiedAt(kDebianPostgres), "|", ModifiedAt(JoinPath(postgres_.bin_dir, "postgres")));
  }
  facts->postgres_major = postgres_.major;
  facts->postgres_version = postgres_.version;
  facts->postgres_bin = postgres_.bin_dir;
}

MachineFacts Machine::Facts() {
  MachineFacts facts;
  facts.root = root_;
  if (absl::StatusOr<std::string> etcd = FindProgram("etcd"); etcd.ok()) {
    facts.etcd = *etcd;
    facts.etcd_version = VersionOf(*etcd, {"--version"});
  }
  FindPostgres(&facts);
  std::string own = RealPath(libexec_dir_);
  for (const char* kind :
       {store::kMultiadmin, store::kPgctld, store::kMultigateway, store::kMultipooler, store::kMultiorch}) {
    std::string ours = JoinPath(libexec_dir_, kind);
    if (access(ours.c_str(), X_OK) == 0) {
      facts.builtin[kind] = ours;
    }
    absl::StatusOr<std::string> found = FindProgram(kind);
    if (found.ok() && DirName(RealPath(*found)) != own) {
      facts.upstream[kind] = *found;
    }
  }
  if (!facts.upstream.empty()) {
    if (absl::StatusOr<std::string> pgbackrest = FindProgram("pgbackrest"); pgbackrest.ok()) {
      facts.pgbackrest_version = VersionOf(*pgbackrest, {"version"});
    }
  }
  return facts;
}

absl::StatusOr<OsUser> FindUser(const std::string& name) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no user ", name));
  }
  OsUser user{.name = name, .uid = found->pw_uid, .gid = found->pw_gid, .groups = {}};
  int count = 64;
  user.groups.resize(static_cast<size_t>(count));
  if (getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<size_t>(count));
    getgrouplist(name.c_str(), user.gid, user.groups.data(), &count);
  }
  user.groups.resize(static_cast<size_t>(std::max(0, count)));
  return user;
}

std::string BlockedAt(const std::string& path, const OsUser& user) {
  std::string at;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&at, "/", part);
    struct stat info {};
    if (stat(at.c_str(), &info) != 0) {
      return "";
    }
    bool in_group = std::find(user.groups.begin(), user.groups.end(), info.st_gid) != user.groups.end();
    mode_t bit = info.st_uid == user.uid ? S_IXUSR : in_group ? S_IXGRP : S_IXOTH;
    if (S_ISDIR(info.st_mode) && (info.st_mode & bit) == 0) {
      return at;
    }
  }
  return "";
}

std::uint64_t AvailableMemory() {
  std::string text = ReadFile("/proc/meminfo").value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    std::uint64_t kib = 0;
    if (words.size() >= 2 && words[0] == "MemAvailable:" && absl::SimpleAtoi(words[1], &kib)) {
      return kib * 1024;
    }
  }
  return 0;
}

std::string NearestExisting(const std::string& path) {
  std::string at = path;
  while (at.size() > 1 && !Exists(at)) {
    at = DirName(at);
  }
  return at;
}

std::uint64_t FreeDisk(const std::string& path) {
  struct statvfs info {};
  if (statvfs(NearestExisting(path).c_str(), &info) != 0) {
    return 0;
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace mg::local
