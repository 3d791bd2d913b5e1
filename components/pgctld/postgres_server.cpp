#include "components/pgctld/postgres_server.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/logs/last_lines.h"
#include "common/process/helper.h"
#include "common/process/process_id.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"
#include "components/pgctld/data_files.h"
#include "components/pgctld/probe.h"
#include "components/pgctld/walsenders.h"

namespace mg::pgctld {
namespace {

constexpr absl::Duration kProbeBound = absl::Milliseconds(200);
constexpr absl::Duration kImmediateBound = absl::Seconds(5);
constexpr absl::Duration kCancelStep = absl::Milliseconds(50);
// A standby that is there confirms what was sent in much less; and what it lacks of a shutdown costs nothing.
constexpr absl::Duration kWalSenderPatience = absl::Milliseconds(500);
constexpr absl::Duration kWalSenderStep = absl::Milliseconds(200);
constexpr std::int64_t kLookMs = 20;
constexpr int kTailLines = 10;

std::vector<std::string> ServerEnvironment() {
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8",
          "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj"};
}

bool IsCancelled(const Patience& patience) { return patience.cancelled && patience.cancelled(); }

std::string HowItEnded(const shim::ShimState& state) {
  if (!state.exit.has_value()) {
    return "no exit record";
  }
  return state.exit->signal != 0 ? absl::StrCat("signal ", state.exit->signal)
                                 : absl::StrCat("exit status ", state.exit->exit_code);
}

/// A shim that this process launched is its child; one that has ended must not stay as a zombie.
void ReapShim(const shim::ShimState& state) {
  if (state.shim.has_value() && !state.shim_alive) {
    ::waitpid(state.shim->pid, nullptr, WNOHANG);
  }
}

}  // namespace

bool PostgresServer::Initialized() const {
  return Exists(JoinPath(options_.data_dir, "PG_VERSION")) && !Exists(JoinPath(options_.data_dir, kUnfinishedMark));
}

bool PostgresServer::Running() const { return shim::ReadShimState(options_.run_dir).child_alive; }

int PostgresServer::Pid() const {
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  return state.child_alive ? state.child->pid : 0;
}

bool PostgresServer::IsStandby() const { return Exists(JoinPath(options_.data_dir, "standby.signal")); }

std::string PostgresServer::socket_path() const {
  return JoinPath(options_.socket_dir(), absl::StrCat(".s.PGSQL.", options_.port));
}

absl::StatusOr<pginstall::Installation> PostgresServer::Installation() const {
  MG_ASSIGN_OR_RETURN(std::string major, ReadFile(JoinPath(options_.data_dir, "PG_VERSION")));
  std::lock_guard lock(mutex_);
  if (major != known_major_ || !Exists(known_.Program("postgres"))) {
    MG_ASSIGN_OR_RETURN(known_, pginstall::ForDataDirectory(options_.data_dir));
    known_major_ = major;
  }
  return known_;
}

ServerInfo PostgresServer::State() const {
  ServerInfo info;
  if (!Initialized()) {
    info.state = ServerState::kNotInitialized;
    info.message = absl::StrCat("no data in ", options_.data_dir);
    return info;
  }
  absl::StatusOr<pginstall::Installation> installation = Installation();
  info.version = installation.ok() ? installation->version : "";
  info.message = installation.ok() ? "" : std::string(installation.status().message());
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  if (!state.child_alive) {
    ReapShim(state);
    if (info.message.empty() && state.exit.has_value() && (state.exit->signal != 0 || state.exit->exit_code != 0)) {
      info.message = absl::StrCat("PostgreSQL ended with ", HowItEnded(state));
    }
    return info;
  }
  info.pid = state.child->pid;
  info.uptime = absl::Seconds(UptimeSeconds(*state.child));
  PidFile file = ReadPidFile(options_.data_dir);
  bool own = file.pid == info.pid;
  info.ready = own && file.status == "ready" && AcceptsConnections(socket_path(), options_.user, kProbeBound);
  info.state = info.ready                         ? ServerState::kRunning
               : own && file.status == "stopping" ? ServerState::kStopping
                                                  : ServerState::kStarting;
  info.message = info.ready ? "" : absl::StrCat("PostgreSQL is ", own ? file.status : "starting");
  if (own && file.status == "ready" && !info.ready) {
    info.message = "PostgreSQL does not answer";
  }
  return info;
}

absl::Status PostgresServer::WriteStandbySignal(StartRole role) const {
  std::string path = JoinPath(options_.data_dir, "standby.signal");
  if (role == StartRole::kPrimary) {
    return ::unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus()
                                                          : ErrnoStatus(errno, absl::StrCat("remove ", path));
  }
  if (role == StartRole::kStandby && !Exists(path)) {
    MG_RETURN_IF_ERROR(WriteFileAtomically(path, "", 0600));
    return GiveToUser(path, options_.run_as);
  }
  return absl::OkStatus();
}

absl::Status PostgresServer::WaitReady(const Patience& patience) const {
  // The postmaster rewrites a line of its pid file at each change: that is the event.
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.valid() ||
      ::inotify_add_watch(watch.get(), options_.data_dir.c_str(), IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE) < 0) {
    return ErrnoStatus(errno, absl::StrCat("watch ", options_.data_dir));
  }
  for (;;) {
    shim::ShimState state = shim::ReadShimState(options_.run_dir);
    PidFile file = ReadPidFile(options_.data_dir);
    if (state.child_alive && file.pid == state.child->pid && file.status == "ready") {
      return absl::OkStatus();
    }
    if (!state.child_alive) {
      ReapShim(state);
      return MakeError(absl::StatusCode::kInternal,
                       absl::StrCat("PostgreSQL ended while it started (", HowItEnded(state), ")"),
                       {.reason = "POSTGRES_START_FAILED",
                        .subject = options_.name,
                        .log_tail = logs::LastLinesOfDirectory(options_.log_dir, kTailLines)});
    }
    if (IsCancelled(patience)) {
      return absl::CancelledError("the caller left while PostgreSQL started; it goes on starting");
    }
    absl::Duration left = patience.deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return MakeError(absl::StatusCode::kDeadlineExceeded,
                       absl::StrCat("PostgreSQL does not accept connections within ",
                                    absl::FormatDuration(options_.timeout()), "; it is ", file.status),
                       {.reason = "POSTGRES_NOT_READY",
                        .subject = options_.name,
                        .log_tail = logs::LastLinesOfDirectory(options_.log_dir, kTailLines)});
    }
    // The bound is for what makes no event here: the end of the process, and the caller's going away.
    pollfd wait = {watch.get(), POLLIN, 0};
    ::poll(&wait, 1, static_cast<int>(std::min(kLookMs, absl::ToInt64Milliseconds(left) + 1)));
    char events[4096];
    while (::read(watch.get(), events, sizeof events) > 0) {
    }
  }
}

absl::Status PostgresServer::Launch(const StartOptions& start) {
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, Installation());
  std::string sockets = options_.socket_dir();
  MG_RETURN_IF_ERROR(MakeDirectories(sockets, 0755));
  MG_RETURN_IF_ERROR(GiveToUser(sockets, options_.run_as));
  MG_RETURN_IF_ERROR(CheckOwner(options_));
  MG_RETURN_IF_ERROR(ClearLeftovers(options_, absl::Now() + options_.timeout()));
  MG_RETURN_IF_ERROR(WriteStandbySignal(start.role));
  MG_RETURN_IF_ERROR(MakeDirectories(options_.run_dir, 0700));
  MG_RETURN_IF_ERROR(MakeDirectories(options_.log_dir, 0700));
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  shim::LaunchSpec spec;
  spec.name = options_.name;
  spec.run_dir = options_.run_dir;
  spec.log_dir = options_.log_dir;
  spec.log_max_bytes = static_cast<std::uint64_t>(options_.log_file_mb) << 20;
  spec.log_max_files = options_.log_files;
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
  // When the machine shuts down: fast, then immediate. SIGTERM alone would wait for clients until it is killed.
  spec.stop = {{.signal = SIGINT, .wait = absl::Seconds(30)}, {.signal = SIGQUIT, .wait = absl::Seconds(5)}};
  spec.generation = state.launch.has_value() ? state.launch->generation + 1 : 1;
  return shim::Launch(options_.shim, spec).status();
}

absl::StatusOr<bool> PostgresServer::Start(const StartOptions& start, const Patience& patience) {
  if (!Exists(JoinPath(options_.data_dir, "PG_VERSION"))) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("data directory ", options_.data_dir, " is not initialised"),
                     {.reason = "NOT_INITIALIZED", .subject = options_.name});
  }
  Patience bound = {.deadline = std::min(patience.deadline, absl::Now() + options_.timeout()),
                    .cancelled = patience.cancelled};
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  if (state.child_alive && ReadPidFile(options_.data_dir).status != "stopping") {
    MG_RETURN_IF_ERROR(WaitReady(bound));
    return true;
  }
  if (state.shim_alive) {
    // It is on its way down, by somebody's earlier word; the start comes after it.
    MG_RETURN_IF_ERROR(Stop("fast", bound).status());
  }
  ReapShim(state);
  MG_RETURN_IF_ERROR(Launch(start));
  MG_RETURN_IF_ERROR(WaitReady(bound));
  log::Info("postgres started", {{"standby", IsStandby()}, {"port", options_.port}});
  return false;
}

absl::StatusOr<bool> PostgresServer::Stop(const std::string& mode, const Patience& patience) {
  bool smart = mode == "smart", fast = mode == "fast" || mode.empty();
  if (!smart && !fast && mode != "immediate") {
    return absl::InvalidArgumentError(absl::StrCat("'", mode, "' is not a stop mode: smart, fast or immediate"));
  }
  shim::ShimState state = shim::ReadShimState(options_.run_dir);
  if (!state.child_alive && !state.shim_alive) {
    ReapShim(state);
    return true;
  }
  absl::Time begun = absl::Now();
  absl::Duration total = std::min(options_.timeout(), patience.deadline - begun);
  // Smart, fast and the time after the walsenders' end share what there is; a fifth is left for the immediate stop.
  absl::Duration share = total * 0.4;
  std::vector<shim::StopStep> ladder;
  if (smart) {
    ladder.push_back({.signal = SIGTERM, .wait = share});
    share = share / 2;
  }
  if (smart || fast) {
    ladder.push_back({.signal = SIGINT, .wait = share * 2});
  }
  ladder.push_back({.signal = SIGQUIT, .wait = kImmediateBound});
  // Whatever they still have to send, walsenders are waited for no longer than until then.
  absl::Time walsenders = begun + (smart ? total * 0.6 : total * 0.4);
  absl::StatusOr<std::unique_ptr<shim::ShimClient>> client = shim::ShimClient::Connect(options_.run_dir);
  bool ordered = client.ok() && (*client)->Stop(ladder).ok();
  WalSenderWatch watch(options_.data_dir);
  absl::Time look_at_walsenders = mode == "immediate" ? absl::InfiniteFuture() : begun + kWalSenderStep;
  absl::Time last = begun + total + kImmediateBound * 2;
  while (ordered && absl::Now() < last) {
    absl::Status waited = (*client)->WaitExit(std::min(last, absl::Now() + kCancelStep)).status();
    if (!absl::IsDeadlineExceeded(waited)) {
      break;
    }
    if (IsCancelled(patience)) {
      return absl::CancelledError("the caller left while PostgreSQL stopped; it goes on stopping");
    }
    if (absl::Time now = absl::Now(); now >= look_at_walsenders) {
      look_at_walsenders = now + kWalSenderStep;
      if (watch.Stuck(now, kWalSenderPatience) || now >= walsenders) {
        EndWalSenders(options_.data_dir);
      }
    }
  }
  // Waits for the shim's own end; and does all of it by hand when the shim was killed.
  MG_RETURN_IF_ERROR(shim::StopAndWait(options_.run_dir, {{.signal = SIGQUIT, .wait = kImmediateBound}}));
  ReapShim(shim::ReadShimState(options_.run_dir));
  log::Info("postgres stopped",
            {{"mode", mode.empty() ? "fast" : mode}, {"took", absl::FormatDuration(absl::Now() - begun)}});
  return false;
}

void PostgresServer::StopAtOnce() {
  if (absl::StatusOr<std::unique_ptr<shim::ShimClient>> client = shim::ShimClient::Connect(options_.run_dir);
      client.ok()) {
    (void)(*client)->Stop({{.signal = SIGQUIT, .wait = kImmediateBound}});  // the Stop that follows tells what failed
  }
}

absl::Status PostgresServer::Reload() {
  if (!Running()) {
    return absl::FailedPreconditionError("PostgreSQL does not run");
  }
  MG_ASSIGN_OR_RETURN(std::unique_ptr<shim::ShimClient> client, shim::ShimClient::Connect(options_.run_dir));
  return client->Signal(SIGHUP);
}

absl::StatusOr<bool> PostgresServer::NeedsCrashRecovery() const {
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, Installation());
  MG_ASSIGN_OR_RETURN(HelperResult result,
                      RunHelperOk({.argv = {installation.Program("pg_controldata"), "-D", options_.data_dir},
                                   .environment = {"LC_ALL=C"},
                                   .working_directory = "/",
                                   .run_as = options_.run_as}));
  for (absl::string_view line : absl::StrSplit(result.standard_output, '\n')) {
    if (absl::StartsWith(line, "Database cluster state:")) {
      return !absl::StrContains(line, "shut down");
    }
  }
  return absl::InternalError("pg_controldata does not say the cluster's state");
}

absl::Status PostgresServer::CrashRecovery() const {
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation, Installation());
  MG_RETURN_IF_ERROR(CheckOwner(options_));
  MG_RETURN_IF_ERROR(ClearLeftovers(options_, absl::Now() + options_.timeout()));
  MG_RETURN_IF_ERROR(WriteStandbySignal(StartRole::kPrimary));
  // As long as it takes: a recovery that is cut off helps nobody.
  return RunHelperOk({.argv = {installation.Program("postgres"), "--single", "-D", options_.data_dir, "template1"},
                      .environment = {"LC_ALL=C.UTF-8"},
                      .working_directory = "/",
                      .run_as = options_.run_as,
                      .timeout = absl::Minutes(30)})
      .status();
}

}  // namespace mg::pgctld
