#include "components/pgctld/restore_command.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/status/status.h"

namespace mg::pgctld {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(2);
constexpr double kClockSlack = 1.0;  // seconds; start times count in clock ticks

bool WaitGone(const UniqueFd& process, absl::Duration bound) {
  pollfd wait = {process.get(), POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(bound))) == 1;
}

}  // namespace

absl::Status RunRestoreCommand(const std::vector<std::string>& arguments) {
  if (arguments.size() < 3 || arguments[1] != "--") {
    return absl::InvalidArgumentError("usage: pgctld restore-wrapper PIDFILE -- COMMAND…");
  }
  MG_RETURN_IF_ERROR(WriteFileAtomically(arguments[0], absl::StrCat(::getpid(), "\n"), 0600));
  std::vector<char*> argv;
  for (size_t i = 2; i < arguments.size(); ++i) {
    argv.push_back(const_cast<char*>(arguments[i].c_str()));
  }
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  return ErrnoStatus(errno, absl::StrCat("execute ", arguments[2]));
}

absl::StatusOr<bool> EndRestoreCommand(const std::string& pid_file) {
  absl::StatusOr<std::string> text = ReadFile(pid_file);
  struct stat info {};
  int pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &pid) || pid <= 1 ||
      ::stat(pid_file.c_str(), &info) != 0) {
    return false;
  }
  absl::StatusOr<ProcessId> process = IdentifyProcess(pid);
  absl::StatusOr<UniqueFd> fd = process.ok() ? OpenPidfd(*process) : process.status();
  if (!fd.ok()) {
    return false;
  }
  double file_age = absl::ToDoubleSeconds(absl::Now() - absl::TimeFromTimespec(info.st_mtim));
  if (UptimeSeconds(*process) + kClockSlack < file_age) {
    return false;  // it began after the file was written: the number is somebody else's now
  }
  MG_RETURN_IF_ERROR(SignalProcess(*process, SIGTERM));
  if (!WaitGone(*fd, kGrace)) {
    MG_RETURN_IF_ERROR(SignalProcess(*process, SIGKILL));
    if (!WaitGone(*fd, kGrace)) {
      return absl::DeadlineExceededError(absl::StrCat("restore_command (pid ", pid, ") does not end"));
    }
  }
  return true;
}

}  // namespace mg::pgctld
