#include "components/pgctld/data_files.h"

#include <dirent.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/process/process_id.h"
#include "common/status/status.h"

namespace mg::pgctld {
namespace {

constexpr size_t kStatusLine = 7;  // of postmaster.pid, from 0
constexpr absl::Duration kLingering = absl::Seconds(5);

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
};

absl::StatusOr<User> FindUser(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no user named ", name),
                     {.reason = "NO_SUCH_USER"});
  }
  return User{.uid = entry.pw_uid, .gid = entry.pw_gid};
}

std::string UserName(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  bool known = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? std::string(entry.pw_name) : absl::StrCat("uid ", uid);
}

absl::Status InUse(const Options& options, pid_t pid) {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("another PostgreSQL (pid ", pid, ") works in ", options.data_dir),
                   {.reason = "DATA_DIRECTORY_IN_USE",
                    .hint = absl::StrCat("stop process ", pid, " first"),
                    .subject = options.name});
}

absl::Status Unlink(const std::string& path) {
  return ::unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus()
                                                        : ErrnoStatus(errno, absl::StrCat("remove ", path));
}

bool SomebodyListens(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) {
    return false;
  }
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
}

/// PostgreSQL refuses to start when the number in the socket's lock file is anybody's by now.
absl::Status ClearSocket(const Options& options) {
  std::string socket = JoinPath(options.socket_dir(), absl::StrCat(".s.PGSQL.", options.port));
  std::string lock = absl::StrCat(socket, ".lock");
  if (!Exists(lock) || SomebodyListens(socket)) {
    return absl::OkStatus();
  }
  log::Warn("removing a stale socket", {{"socket", socket}});
  MG_RETURN_IF_ERROR(Unlink(socket));
  return Unlink(lock);
}

}  // namespace

absl::Status GiveToUser(const std::string& path, const std::string& user) {
  if (user.empty()) {
    return absl::OkStatus();
  }
  MG_ASSIGN_OR_RETURN(User owner, FindUser(user));
  if (::lchown(path.c_str(), owner.uid, owner.gid) != 0) {
    return ErrnoStatus(errno, absl::StrCat("give ", path, " to ", user));
  }
  return absl::OkStatus();
}

PidFile ReadPidFile(const std::string& data_dir) {
  PidFile result;
  absl::StatusOr<std::string> text = ReadFile(JoinPath(data_dir, "postmaster.pid"));
  if (!text.ok()) {
    return result;
  }
  std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  int pid = 0;
  if (absl::SimpleAtoi(lines[0], &pid)) {
    result.pid = std::abs(pid);  // negative: single-user mode
  }
  if (lines.size() > kStatusLine) {
    result.status = std::string(absl::StripAsciiWhitespace(lines[kStatusLine]));
  }
  return result;
}

std::vector<pid_t> ProcessesInDirectory(const std::string& data_dir) {
  std::vector<pid_t> result;
  std::error_code error;
  std::filesystem::path wanted = std::filesystem::canonical(data_dir, error);
  DIR* proc = error ? nullptr : ::opendir("/proc");
  while (dirent* entry = proc != nullptr ? ::readdir(proc) : nullptr) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) {
      continue;
    }
    // Its name first: reading the directory of every process would cost more.
    if (std::string name = ProcessName(pid); name != "postgres" && name != "postmaster") {
      continue;
    }
    std::filesystem::path cwd = std::filesystem::read_symlink(absl::StrCat("/proc/", pid, "/cwd"), error);
    if (!error && cwd == wanted && IdentifyProcess(pid).ok()) {
      result.push_back(pid);
    }
  }
  if (proc != nullptr) {
    ::closedir(proc);
  }
  return result;
}

absl::Status CheckOwner(const Options& options) {
  uid_t wanted = ::geteuid();
  if (!options.run_as.empty()) {
    MG_ASSIGN_OR_RETURN(User user, FindUser(options.run_as));
    wanted = user.uid;
  }
  struct stat info {};
  if (::stat(options.data_dir.c_str(), &info) != 0) {
    return ErrnoStatus(errno, options.data_dir);
  }
  if (info.st_uid != wanted) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("data directory ", options.data_dir, " belongs to ", UserName(info.st_uid),
                                  ", and PostgreSQL runs as ", UserName(wanted)),
                     {.reason = "WRONG_OWNER",
                      .hint = absl::StrCat("give it back with 'chown -R ", UserName(wanted), " ", options.data_dir,
                                           "', or run PostgreSQL as ", UserName(info.st_uid)),
                      .subject = options.name});
  }
  if ((info.st_mode & 07777) != 0700 && ::chmod(options.data_dir.c_str(), 0700) != 0) {
    return ErrnoStatus(errno, absl::StrCat("chmod ", options.data_dir));
  }
  return absl::OkStatus();
}

absl::Status ClearLeftovers(const Options& options, absl::Time deadline) {
  std::string path = JoinPath(options.data_dir, "postmaster.pid");
  bool pid_file = Exists(path);
  // After an orderly end there is no pid file, and nobody is left.
  if (pid_file) {
    absl::Time bound = std::min(deadline, absl::Now() + kLingering);
    PidFile file = ReadPidFile(options.data_dir);
    for (;;) {
      std::vector<pid_t> holders = ProcessesInDirectory(options.data_dir);
      if (holders.empty()) {
        break;
      }
      if (std::find(holders.begin(), holders.end(), file.pid) != holders.end() || absl::Now() >= bound) {
        return InUse(options, holders.front());
      }
      // Backends of a postmaster that was killed: each ends as soon as it looks.
      absl::StatusOr<ProcessId> process = IdentifyProcess(holders.front());
      absl::StatusOr<UniqueFd> fd = process.ok() ? OpenPidfd(*process) : process.status();
      if (fd.ok()) {
        pollfd wait = {fd->get(), POLLIN, 0};
        ::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(bound - absl::Now())) + 1);
      }
    }
    // The number in it may be anybody's by now, even a thread's; no PostgreSQL has this directory, and that is what
    // counts.
    log::Warn("removing a stale postmaster.pid", {{"data_dir", options.data_dir}, {"pid", file.pid}});
    MG_RETURN_IF_ERROR(Unlink(path));
  }
  return ClearSocket(options);
}

std::string ClosedDirectoryAbove(const std::string& path, const std::string& user) {
  absl::StatusOr<User> owner = FindUser(user);
  if (user.empty() || !owner.ok()) {
    return "";
  }
  std::vector<std::string> above;
  for (std::string directory = DirName(path); directory.size() > 1; directory = DirName(directory)) {
    above.push_back(directory);
  }
  for (auto it = above.rbegin(); it != above.rend(); ++it) {
    struct stat info {};
    if (::stat(it->c_str(), &info) != 0) {
      continue;
    }
    mode_t bit = info.st_uid == owner->uid ? S_IXUSR : info.st_gid == owner->gid ? S_IXGRP : S_IXOTH;
    if ((info.st_mode & bit) == 0) {
      return *it;
    }
  }
  return "";
}

}  // namespace mg::pgctld
