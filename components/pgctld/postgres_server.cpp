#include "components/pgctld/postgres_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/logs/last_lines.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/process/process_id.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"

namespace mg::pgctld {
namespace {

/// The lines of postmaster.pid: pid, data directory, start time, port, socket directory, address, shared memory key,
/// status.
std::vector<std::string> PidFileLines(const std::string& data_dir) {
  absl::StatusOr<std::string> text = ReadFile(JoinPath(data_dir, "postmaster.pid"));
  return text.ok() ? static_cast<std::vector<std::string>>(absl::StrSplit(*text, '\n')) : std::vector<std::string>();
}

/// `ready` once connections are accepted; written by the postmaster, padded with blanks.
std::string PidFileStatus(const std::string& data_dir) {
  std::vector<std::string> lines = PidFileLines(data_dir);
  return lines.size() < 8 ? "" : std::string(absl::StripAsciiWhitespace(lines[7]));
}

/// A live process that works in this data directory: PostgreSQL's processes all have it as their working directory.
std::optional<pid_t> ProcessInDirectory(const std::string& data_dir) {
  std::error_code error;
  std::filesystem::path wanted = std::filesystem::canonical(data_dir, error);
  DIR* proc = ::opendir("/proc");
  std::optional<pid_t> found;
  while (dirent* entry = proc != nullptr && !found.has_value() ? ::readdir(proc) : nullptr) {
    int pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid) && absl::StartsWith(ProcessName(pid), "postgres")) {
      std::filesystem::path cwd = std::filesystem::read_symlink(absl::StrCat("/proc/", pid, "/cwd"), error);
      if (!error && cwd == wanted) {
        found = pid;
      }
    }
  }
  if (proc != nullptr) {
    ::closedir(proc);
  }
  return found;
}

std::vector<std::string> ServerEnvironment() {
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8",
          "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj"};
}

}  // namespace

absl::Status GiveToUser(const std::string& path, const std::string& user) {
  if (user.empty()) {
    return absl::OkStatus();
  }
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no user named ", user));
  }
  if (::lchown(path.c_str(), entry->pw_uid, entry->pw_gid) != 0) {
    return ErrnoStatus(errno, absl::StrCat("give ", path, " to ", user));
  }
  return absl::OkStatus();
}

bool PostgresServer::Initialized() const { return Exists(JoinPath(options_.data_dir, "PG_VERSION")); }

ServerInfo PostgresServer::State() const {
  ServerInfo info;
  if (!Initialized()) {
    info.state = ServerState::kNotInitialized;
    return info;
  }
  if (absl::StatusOr<pginstall::Installation> found = pginstall::ForDataDirectory(options_.data_dir); found.ok()) {
    info.version = found->version;
  }
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  if (!state.child_alive) {
    return info;
  }
  info.pid = state.child->pid;
  info.uptime = absl::Seconds(UptimeSeconds(*state.child));
  std::string word = PidFileStatus(options_.data_dir);
  info.ready = word == "ready";
  info.state = word == "ready"      ? ServerState::kRunning
               : word == "stopping" ? ServerState::kStopping
                                    : ServerState::kStarting;
  return info;
}

absl::Status PostgresServer::RemoveStalePidFile() const {
  std::string path = JoinPath(options_.data_dir, "postmaster.pid");
  if (!Exists(path)) {
    return absl::OkStatus();
  }
  if (std::optional<pid_t> other = ProcessInDirectory(options_.data_dir); other.has_value()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("another PostgreSQL (pid ", *other, ") works in ", options_.data_dir),
                     {.reason = "DATA_DIRECTORY_IN_USE", .hint = absl::StrCat("stop process ", *other, " first")});
  }
  // The number in it may be anybody's by now, even a thread's; no PostgreSQL has this directory, and that is what
  // counts.
  log::Warn("removing a stale postmaster.pid", {{"data_dir", options_.data_dir}});
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("remove ", path));
  }
  return absl::OkStatus();
}

absl::Status PostgresServer::WriteStandbySignal(bool as_primary) const {
  std::string path = JoinPath(options_.data_dir, "standby.signal");
  if (as_primary) {
    return ::unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus()
                                                          : ErrnoStatus(errno, absl::StrCat("remove ", path));
  }
  if (!Exists(path)) {
    MG_RETURN_IF_ERROR(WriteFileAtomically(path, "", 0600));
    return GiveToUser(path, options_.run_as);
  }
  return absl::OkStatus();
}

absl::Status PostgresServer::WaitReady(absl::Time deadline) const {
  // The postmaster rewrites a line of its pid file at each change: that is the event.
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.valid() ||
      ::inotify_add_watch(watch.get(), options_.data_dir.c_str(), IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE) < 0) {
    return ErrnoStatus(errno, absl::StrCat("watch ", options_.data_dir));
  }
  absl::StatusOr<std::unique_ptr<shim::ShimClient>> client = shim::ShimClient::Connect(options_.run_dir);
  for (;;) {
    if (PidFileStatus(options_.data_dir) == "ready") {
      return absl::OkStatus();
    }
    shim::ShimState state = shim::ReadShimState(options_.run_dir);
    if (!state.child_alive) {
      std::string how = state.exit.has_value()
                            ? absl::StrCat("exit status ", state.exit->exit_code, ", signal ", state.exit->signal)
                            : "no exit record";
      return MakeError(absl::StatusCode::kInternal, absl::StrCat("PostgreSQL ended while it started (", how, ")"),
                       {.reason = "POSTGRES_START_FAILED",
                        .subject = options_.name,
                        .log_tail = logs::LastLinesOfDirectory(options_.log_dir, 10)});
    }
    absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return MakeError(
          absl::StatusCode::kDeadlineExceeded,
          absl::StrCat("PostgreSQL does not accept connections after ", absl::FormatDuration(options_.timeout())),
          {.subject = options_.name, .log_tail = logs::LastLinesOfDirectory(options_.log_dir, 10)});
    }
    pollfd fds[] = {{watch.get(), POLLIN, 0}, {client.ok() ? (*client)->fd() : -1, POLLIN, 0}};
    // The bound is for a change between the look and the watch, and for the shim's greeting that stays unread.
    ::poll(fds, client.ok() ? 2 : 1, static_cast<int>(std::min<std::int64_t>(20, absl::ToInt64Milliseconds(left) + 1)));
    char events[4096];
    while (::read(watch.get(), events, sizeof events) > 0) {
    }
    if (client.ok() && fds[1].revents != 0) {
      client = absl::UnavailableError("read once");  // the next look at the files decides
    }
  }
}

absl::StatusOr<bool> PostgresServer::Start(const StartOptions& start) {
  if (!Initialized()) {
    return absl::FailedPreconditionError(absl::StrCat("data directory ", options_.data_dir, " is not initialised"));
  }
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  if (state.child_alive) {
    MG_RETURN_IF_ERROR(WaitReady(absl::Now() + options_.timeout()));
    return true;
  }
  MG_RETURN_IF_ERROR(RemoveStalePidFile());
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, pginstall::ForDataDirectory(options_.data_dir));
  if (::chmod(options_.data_dir.c_str(), 0700) != 0) {
    return ErrnoStatus(errno, absl::StrCat("chmod ", options_.data_dir));
  }
  std::string sockets = options_.socket_dir();
  MG_RETURN_IF_ERROR(MakeDirectories(sockets, 0755));
  MG_RETURN_IF_ERROR(GiveToUser(sockets, options_.run_as));
  MG_RETURN_IF_ERROR(WriteStandbySignal(start.as_primary));
  MG_RETURN_IF_ERROR(MakeDirectories(options_.run_dir, 0700));
  MG_RETURN_IF_ERROR(MakeDirectories(options_.log_dir, 0700));
  shim::LaunchSpec spec;
  spec.name = options_.name;
  spec.run_dir = options_.run_dir;
  spec.log_dir = options_.log_dir;
  spec.argv = {installation.Program("postgres"),
               "-D",
               options_.data_dir,
               "-p",
               absl::StrCat(options_.port),
               "-c",
               absl::StrCat("listen_addresses=", start.local_only ? "" : options_.listen_addresses),
               "-c",
               absl::StrCat("unix_socket_directories=", sockets)};
  spec.environment = ServerEnvironment();
  spec.working_directory = options_.data_dir;
  spec.run_as = options_.run_as;
  spec.generation = state.launch.has_value() ? state.launch->generation + 1 : 1;
  MG_RETURN_IF_ERROR(shim::Launch(options_.shim, spec).status());
  MG_RETURN_IF_ERROR(WaitReady(absl::Now() + options_.timeout()));
  log::Info("postgres started", {{"as_primary", start.as_primary}, {"port", options_.port}});
  return false;
}

absl::StatusOr<bool> PostgresServer::Stop(const std::string& mode) {
  if (!Initialized()) {
    return absl::FailedPreconditionError(absl::StrCat("data directory ", options_.data_dir, " is not initialised"));
  }
  if (!shim::ReadShimState(options_.run_dir).child_alive) {
    return true;
  }
  std::vector<shim::StopStep> ladder;
  absl::Duration bound = options_.timeout();
  if (mode == "smart") {
    ladder.push_back({.signal = SIGTERM, .wait = bound});
  }
  if (mode == "smart" || mode == "fast" || mode.empty()) {
    ladder.push_back({.signal = SIGINT, .wait = bound});
  } else if (mode != "immediate") {
    return absl::InvalidArgumentError(absl::StrCat("'", mode, "' is not a stop mode: smart, fast or immediate"));
  }
  ladder.push_back({.signal = SIGQUIT, .wait = absl::Seconds(5)});
  MG_RETURN_IF_ERROR(shim::StopAndWait(options_.run_dir, ladder));
  log::Info("postgres stopped", {{"mode", mode}});
  return false;
}

absl::Status PostgresServer::Reload() {
  if (!shim::ReadShimState(options_.run_dir).child_alive) {
    return absl::FailedPreconditionError("PostgreSQL does not run");
  }
  MG_ASSIGN_OR_RETURN(std::unique_ptr<shim::ShimClient> client, shim::ShimClient::Connect(options_.run_dir));
  return client->Signal(SIGHUP);
}

absl::StatusOr<bool> PostgresServer::NeedsCrashRecovery() const {
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, pginstall::ForDataDirectory(options_.data_dir));
  MG_ASSIGN_OR_RETURN(HelperResult result,
                      RunHelperOk({.argv = {installation.Program("pg_controldata"), "-D", options_.data_dir},
                                   .environment = {"LC_ALL=C"},
                                   .run_as = options_.run_as}));
  for (absl::string_view line : absl::StrSplit(result.standard_output, '\n')) {
    if (absl::StartsWith(line, "Database cluster state:")) {
      return !absl::StrContains(line, "shut down");
    }
  }
  return absl::InternalError("pg_controldata does not say the cluster's state");
}

absl::Status PostgresServer::CrashRecovery() const {
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, pginstall::ForDataDirectory(options_.data_dir));
  std::string signal = JoinPath(options_.data_dir, "standby.signal");
  ::unlink(signal.c_str());
  return RunHelperOk({.argv = {installation.Program("postgres"), "--single", "-D", options_.data_dir, "template1"},
                      .run_as = options_.run_as,
                      .timeout = options_.timeout()})
      .status();
}

}  // namespace mg::pgctld
