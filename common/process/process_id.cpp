#include "common/process/process_id.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
// glibc 2.36 declares these without C linkage for C++.
#include <sys/pidfd.h>
}

#include <cerrno>
#include <csignal>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg {
namespace {

struct Stat {
  char state = '?';
  pid_t parent = 0;
  std::uint64_t start_ticks = 0;
};

/// The fields that are used come first; a thousand components are looked at by this in one command, so it costs one
/// read.
absl::StatusOr<Stat> ReadStat(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
  char buffer[1024];
  ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
  if (size < 0) {
    return ErrnoStatus(errno, absl::StrCat("read ", path));
  }
  // The name may hold blanks and parentheses; what follows the last ')' is regular.
  absl::string_view text(buffer, static_cast<size_t>(size));
  size_t end = text.rfind(')');
  Stat stat;
  int field = 0;
  if (end != absl::string_view::npos) {
    for (absl::string_view word : absl::StrSplit(text.substr(end + 1), ' ', absl::SkipEmpty())) {
      if ((field == 1 && !absl::SimpleAtoi(word, &stat.parent)) ||
          (field == 19 && !absl::SimpleAtoi(word, &stat.start_ticks))) {
        break;
      }
      if (field == 0) {
        stat.state = word[0];
      }
      if (field++ == 19) {
        return stat;
      }
    }
  }
  return absl::InternalError(absl::StrCat(path, " is malformed"));
}

/// /proc/<number> answers for a thread's id too; only a thread group's leader is a process.
bool IsThreadGroupLeader(pid_t pid) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  return text.ok() && text->find(absl::StrCat("\nTgid:\t", pid, "\n")) != std::string::npos;
}

}  // namespace

const std::string& BootId() {
  static const auto* const kId = [] {
    absl::StatusOr<std::string> text = ReadFile("/proc/sys/kernel/random/boot_id");
    return new std::string(text.ok() ? absl::StripAsciiWhitespace(*text) : "unknown");
  }();
  return *kId;
}

absl::StatusOr<ProcessId> IdentifyProcess(pid_t pid) {
  if (pid <= 0 || !IsThreadGroupLeader(pid)) {
    return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  }
  MG_ASSIGN_OR_RETURN(Stat stat, ReadStat(pid));
  return ProcessId{.pid = pid, .start_ticks = stat.start_ticks, .boot_id = BootId()};
}

bool IsAlive(const ProcessId& id) {
  if (!id.valid() || id.boot_id != BootId()) {
    return false;
  }
  absl::StatusOr<Stat> stat = ReadStat(id.pid);
  return stat.ok() && stat->start_ticks == id.start_ticks && stat->state != 'Z' && stat->state != 'X';
}

bool IsStopped(const ProcessId& id) {
  if (!id.valid() || id.boot_id != BootId()) {
    return false;
  }
  absl::StatusOr<Stat> stat = ReadStat(id.pid);
  return stat.ok() && stat->start_ticks == id.start_ticks && (stat->state == 'T' || stat->state == 't');
}

void ReapIfOurs(const ProcessId& id) {
  if (!id.valid() || id.boot_id != BootId()) {
    return;
  }
  absl::StatusOr<Stat> stat = ReadStat(id.pid);
  // A zombie's number belongs to it until it is waited for, and only we can do that.
  if (stat.ok() && stat->start_ticks == id.start_ticks && stat->state == 'Z' && stat->parent == ::getpid()) {
    (void)::waitpid(id.pid, nullptr, WNOHANG);
  }
}

absl::StatusOr<UniqueFd> OpenPidfd(const ProcessId& id) {
  if (!id.valid()) {
    return absl::NotFoundError("there is no process");
  }
  UniqueFd fd(::pidfd_open(id.pid, 0));
  if (!fd.valid() && errno != ESRCH) {
    return ErrnoStatus(errno, absl::StrCat("open process ", id.pid));
  }
  // Verified after the open: from here on the descriptor names this process for ever.
  if (!fd.valid() || !IsAlive(id)) {
    return absl::NotFoundError(absl::StrCat("process ", id.pid, " is gone"));
  }
  return fd;
}

absl::Status SignalProcess(const ProcessId& id, int signal) {
  MG_ASSIGN_OR_RETURN(UniqueFd fd, OpenPidfd(id));
  if (::pidfd_send_signal(fd.get(), signal, nullptr, 0) != 0) {
    return errno == ESRCH ? absl::NotFoundError(absl::StrCat("process ", id.pid, " is gone"))
                          : ErrnoStatus(errno, absl::StrCat("signal process ", id.pid));
  }
  return absl::OkStatus();
}

double UptimeSeconds(const ProcessId& id) {
  absl::StatusOr<std::string> text = ReadFile("/proc/uptime");
  double up = 0;
  if (!text.ok() || !absl::SimpleAtod(text->substr(0, text->find(' ')), &up)) {
    return -1;
  }
  return up - static_cast<double>(id.start_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::string ProcessName(pid_t pid) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/comm"));
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

}  // namespace mg
