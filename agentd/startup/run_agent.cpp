#include "agentd/startup/run_agent.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "agentd/events/event_log.h"
#include "agentd/operations/registry.h"
#include "agentd/operations/resume.h"
#include "agentd/rpc/server.h"
#include "agentd/startup/startup.h"
#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/rpc.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/systemd/systemd.h"
#include "common/version/version.h"

namespace mg::startup {
namespace {

constexpr absl::Duration kStartBound = absl::Seconds(20);
/// How often systemd hears of us, when it looks.
constexpr absl::Duration kStatusPeriod = absl::Seconds(30);
constexpr size_t kLogBytes = 8u << 20;
constexpr int kOldLogs = 2;

constexpr char kHelp[] =
    "multigres-agent - runs the Multigres clusters of one user\n"
    "\n"
    "The multigres command starts it when it needs it; it stays until SIGTERM or `multigres agent stop`, and the\n"
    "components of its clusters go on without it.\n"
    "\n"
    "  --detach        leave the terminal and the calling process\n"
    "  --ready-fd=N    say on this descriptor that the agent serves, then close it\n"
    "  --version       print the version\n"
    "  --help          print this\n"
    "\n"
    "Environment: MULTIGRES_HOME, MULTIGRES_AGENT_SOCKET, XDG_RUNTIME_DIR, XDG_DATA_HOME.\n";

struct Options {
  bool detach = false;
  int ready_fd = -1;
};

/// A value: the process ends with it.
std::optional<int> Parse(const std::vector<std::string>& arguments, Options* options) {
  for (const std::string& argument : arguments) {
    absl::string_view rest = argument;
    if (argument == "--detach") {
      options->detach = true;
    } else if (absl::ConsumePrefix(&rest, "--ready-fd=") && absl::SimpleAtoi(rest, &options->ready_fd) &&
               options->ready_fd >= 0 && ::fcntl(options->ready_fd, F_SETFD, FD_CLOEXEC) == 0) {
    } else if (argument == "--version") {
      std::printf("multigres-agent %s\n", kVersion);
      return kExitOk;
    } else if (argument == "--help" || argument == "-h") {
      std::fputs(kHelp, stdout);
      return kExitOk;
    } else {
      std::fprintf(stderr, "multigres-agent: bad argument %s; see --help\n", argument.c_str());
      return kExitUsage;
    }
  }
  return std::nullopt;
}

std::string Value(const std::map<std::string, std::string>& environment, const std::string& name) {
  auto it = environment.find(name);
  return it == environment.end() ? std::string() : it->second;
}

struct Found {
  AgentPlace place;
  rpc::AgentPaths paths;
};

/// Finds the place as the CLI does, and makes its directories.
absl::StatusOr<Found> FindPlace(std::map<std::string, std::string> environment) {
  MG_ASSIGN_OR_RETURN(config::Home home, config::FindHome(environment, ::geteuid()));
  std::map<std::string, std::string> plain = environment;
  plain.erase("MULTIGRES_HOME");
  absl::StatusOr<config::Home> default_home = config::FindHome(plain, ::geteuid());
  Found found;
  found.paths = rpc::FindAgentPaths(Value(environment, "MULTIGRES_AGENT_SOCKET"), Value(environment, "XDG_RUNTIME_DIR"),
                                    ::geteuid(), home.path, default_home.ok() ? default_home->path : std::string());
  // Others may pass through root's state directory, for PostgreSQL runs as somebody else there.
  MG_RETURN_IF_ERROR(MakeDirectories(home.path, ::geteuid() == 0 ? 0711 : 0700));
  // A directory that is there is only verified, never changed: with a socket in /tmp that would be everybody's.
  MG_RETURN_IF_ERROR(MakeDirectories(found.paths.directory, 0700));
  MG_RETURN_IF_ERROR(rpc::VerifyPrivateDirectory(found.paths.directory));
  std::error_code ignored;
  found.place = {.environment = std::move(environment),
                 .home = home.path,
                 .home_is_explicit = home.is_explicit,
                 .socket = found.paths.socket,
                 .runtime_directory = found.paths.directory,
                 .log_file = JoinPath(home.path, "agent.log"),
                 .executable = std::filesystem::read_symlink("/proc/self/exe", ignored).string()};
  return found;
}

/// Signals that end the agent, the wish of a client, and the loss of its lock file, as one thing to wait for.
class EndWish {
 public:
  EndWish() : wish_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
  }
  void Make() { ::eventfd_write(wish_.get(), 1); }
  /// Without its lock file an agent is alone no more: whoever deleted it, most likely with the whole state directory,
  /// will start the next one.
  void EndWithout(const std::string& home) {
    lost_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (::inotify_add_watch(lost_.get(), home.c_str(), IN_DELETE | IN_MOVED_FROM | IN_MOVE_SELF | IN_ONLYDIR) < 0) {
      log::Warn("the state directory is not watched", {{"error", std::strerror(errno)}});
    }
    lock_ = JoinPath(home, kLockName);
  }
  /// What it was. `meanwhile` is called every so often.
  std::string Wait(absl::Duration every, const std::function<void()>& meanwhile) {
    pollfd fds[3] = {{.fd = wish_.get(), .events = POLLIN},
                     {.fd = signals_.get(), .events = POLLIN},
                     {.fd = lost_.get(), .events = POLLIN}};
    int milliseconds = every == absl::InfiniteDuration() ? -1 : static_cast<int>(absl::ToInt64Milliseconds(every));
    for (int ready = 0; ready <= 0;) {
      ready = ::poll(fds, 3, milliseconds);
      if (ready == 0) {
        meanwhile();
      }
      char changes[4096];
      if (ready == 1 && fds[2].revents != 0 && ::read(lost_.get(), changes, sizeof changes) > 0 && Exists(lock_)) {
        ready = 0;  // something else was deleted
      }
    }
    if (fds[2].revents != 0 && !Exists(lock_)) {
      return absl::StrCat(lock_, " was deleted");
    }
    signalfd_siginfo info = {};
    if (fds[1].revents != 0 && ::read(signals_.get(), &info, sizeof info) == sizeof info) {
      return absl::StrCat("signal ", info.ssi_signo, " from process ", info.ssi_pid);
    }
    return "a client's request";
  }

 private:
  UniqueFd wish_, signals_, lost_;
  std::string lock_;
};

/// Operations as events, and memory given back after each.
void Observe(events::EventLog& events, const operations::Operation& operation) {
  const operations::Operation::Identity& identity = operation.identity();
  std::string name = absl::StrCat(identity.kind, identity.subject.empty() ? "" : " ", identity.subject);
  std::optional<operations::v1::OperationResult> result = operation.result();
  if (!result) {
    events.Add(identity.cluster, "", "operation-started", absl::StrCat(name, " began"));
    log::Info("operation began", {{"kind", name}, {"cluster", identity.cluster}, {"id", identity.id}});
    return;
  }
  absl::Duration took = absl::Seconds(result->elapsed().seconds()) + absl::Nanoseconds(result->elapsed().nanos());
  if (result->has_failure()) {
    events.Add(identity.cluster, result->failure().component(), "operation-failed",
               absl::StrCat(name, " failed: ", result->failure().message()), took);
    log::Warn("operation failed", {{"kind", name},
                                   {"cluster", identity.cluster},
                                   {"id", identity.id},
                                   {"reason", result->failure().reason()},
                                   {"error", result->failure().message()},
                                   {"seconds", absl::ToDoubleSeconds(took)}});
  } else {
    const bool removed = identity.kind == "down" && identity.subject == "clean";
    events.Add(identity.cluster, "", removed ? events::kRemoved : "operation-ended", absl::StrCat(name, " is done"),
               took);
    log::Info(
        "operation ended",
        {{"kind", name}, {"cluster", identity.cluster}, {"id", identity.id}, {"seconds", absl::ToDoubleSeconds(took)}});
  }
  ::malloc_trim(0);
}

absl::Status Serve(const Found& found, const MakeProvisioner& make_provisioner, AgentLocks& locks, ReadyPipe& ready,
                   EndWish& end, UniqueFd listener, const systemd::Notifier& notifier) {
  absl::Time start = absl::Now();
  events::EventLog events(found.place.home);
  MG_ASSIGN_OR_RETURN(std::unique_ptr<provisioners::Provisioner> provisioner, make_provisioner(found.place));
  provisioner->on_event = [&events](const provisioners::Provisioner::Event& event) {
    events.Add(event.cluster, event.component, event.type, event.message, event.duration);
    log::Info(event.message, {{"event", event.type}, {"cluster", event.cluster}, {"component", event.component}});
  };
  if (absl::Status recovered = provisioner->Recover(); !recovered.ok()) {
    // What could not be adopted shows in the status; the agent is needed to repair it.
    log::Error("cannot take over everything that runs", {{"error", std::string(recovered.message())}});
  }
  operations::Registry registry([&events](const operations::Operation& operation) { Observe(events, operation); });
  operations::ResumeUnfinished(*provisioner, registry);
  MG_ASSIGN_OR_RETURN(std::unique_ptr<rpc::AgentServer> server,
                      rpc::AgentServer::Start({.paths = found.paths,
                                               .home = found.place.home,
                                               .log_file = found.place.log_file,
                                               .executable = found.place.executable,
                                               .start_time = start,
                                               .listener_fd = listener.Release(),
                                               .shutdown = [&end] { end.Make(); }},
                                              *provisioner, registry, events));
  log::Info("the agent serves", {{"version", kVersion},
                                 {"pid", ::getpid()},
                                 {"socket", found.paths.socket},
                                 {"home", found.place.home},
                                 {"start_ms", absl::ToInt64Milliseconds(absl::Now() - start)}});
  end.EndWithout(found.place.home);
  locks.StartIsOver();
  ready.Say(absl::OkStatus());
  ::malloc_trim(0);
  auto line = [&] {
    // Asks what a lock that is never given back would block, so that the watchdog is not fed by a frozen agent.
    return absl::StrCat("serving ", provisioner->Clusters().size(), " clusters at ", found.paths.socket);
  };
  if (notifier.active()) {
    notifier.Ready(line());
  }
  std::string why =
      end.Wait(notifier.active() ? std::min(notifier.watchdog() / 2, kStatusPeriod) : absl::InfiniteDuration(), [&] {
        notifier.Status(line());
        notifier.Watchdog();
      });
  notifier.Stopping();
  log::Info("the agent ends; the components go on", {{"why", why}});
  registry.Stop();
  server.reset();
  return absl::OkStatus();
}

}  // namespace

int RunAgent(const std::vector<std::string>& arguments, std::map<std::string, std::string> environment,
             const MakeProvisioner& make_provisioner) {
  Options options;
  if (std::optional<int> exit_status = Parse(arguments, &options)) {
    return *exit_status;
  }
  ReadyPipe ready(options.ready_fd);
  // No thread has been made yet, so this fork is safe.
  if (options.detach && ::fork() > 0) {
    ::_exit(kExitOk);
  }
  // Two arenas for all threads, and freed memory goes back early: the agent is small and stays for weeks.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 64 << 10);
  ::umask(022);
  if (::chdir("/") != 0) {
    std::fprintf(stderr, "multigres-agent: cannot enter /\n");
  }
  ::setenv("GRPC_ENABLE_FORK_SUPPORT", "0", 1);
  rpc::LogGrpcsWords();

  auto fail = [&](const absl::Status& status) {
    ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
    std::fprintf(stderr, "multigres-agent: %s%s%s\n", std::string(status.message()).c_str(),
                 detail.hint.empty() ? "" : "\n  ", detail.hint.c_str());
    ready.Say(status);
    return ExitCodeOf(status.code());
  };
  absl::StatusOr<std::vector<UniqueFd>> handed_over = systemd::TakeListenFds(environment);
  if (!handed_over.ok()) {
    return fail(handed_over.status());
  }
  systemd::Notifier notifier(environment);
  absl::StatusOr<Found> found = FindPlace(std::move(environment));
  if (!found.ok()) {
    return fail(found.status());
  }
  UniqueFd listener;
  if (handed_over->size() > 1) {
    return fail(
        absl::InvalidArgumentError(absl::StrCat("one socket was expected from systemd, not ", handed_over->size())));
  }
  if (!handed_over->empty()) {
    listener = std::move(handed_over->front());
  }
  absl::StatusOr<AgentLocks> locks =
      AgentLocks::Acquire(found->place.home, listener.valid() ? "" : found->paths.socket, absl::Now() + kStartBound);
  if (!locks.ok()) {
    if (absl::IsAlreadyExists(locks.status()) && ready.valid()) {
      ready.Say(absl::OkStatus());  // what the starter wanted is there
      return kExitOk;
    }
    return fail(locks.status());
  }
  absl::Status logging = log::Configure(
      {.format = "text", .output = found->place.log_file, .rotate_bytes = kLogBytes, .rotate_keep = kOldLogs});
  if (!logging.ok()) {
    // The agent is needed most when something is wrong; its records go to stderr then.
    std::fprintf(stderr, "multigres-agent: %s\n", std::string(logging.message()).c_str());
  }
  EndWish end;
  absl::Status served = Serve(*found, make_provisioner, *locks, ready, end, std::move(listener), notifier);
  return served.ok() ? kExitOk : fail(served);
}

}  // namespace mg::startup
