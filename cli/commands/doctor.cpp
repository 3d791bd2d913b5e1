#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <clocale>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/args/help.h"
#include "cli/commands/commands.h"
#include "cli/commands/doctor.h"
#include "cli/output/table.h"
#include "common/cgroup/cgroup.h"
#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/net/tcp_port.h"
#include "common/pginstall/pginstall.h"
#include "common/process/process_id.h"
#include "common/rpc/rpc.h"
#include "common/shim_protocol/orphans.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "common/version/version.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr size_t kLongestSocketPath = 107;

/// All checks; nothing here needs an agent, and nothing is changed but with `fix`.
class Doctor {
 public:
  Doctor(Context& context, AgentPlace place, bool fix) : context_(context), place_(std::move(place)), fix_(fix) {}

  multigres::cli::v1::DoctorOutput Run() {
    Binaries();
    Versions();
    Configuration();
    SocketPath();
    Leftovers();
    Orphans();
    Ports();
    Limits();
    Disk();
    Clock();
    Locale();
    SharedMemory();
    Cgroup();
    output_.set_healthy(true);
    for (const auto& check : output_.checks()) {
      output_.set_healthy(output_.healthy() && check.state() != "failed");
    }
    return output_;
  }

 private:
  void Add(const std::string& check, const std::string& state, const std::string& detail, const std::string& fix = "",
           bool fixable = false) {
    auto* result = output_.add_checks();
    result->set_check(check);
    result->set_state(state);
    result->set_detail(detail);
    result->set_fix(fix);
    result->set_fixable(fixable);
  }

  std::string OnPath(const std::string& program) const {
    std::stringstream directories(context_.Env("PATH") + ":/usr/bin:/usr/local/bin");
    for (std::string directory; std::getline(directories, directory, ':');) {
      if (std::string path = JoinPath(directory, program); ::access(path.c_str(), X_OK) == 0) {
        return path;
      }
    }
    return "";
  }

  void Binaries() {
    std::vector<std::string> missing;
    absl::StatusOr<std::string> bin = ExecutableDirectory();
    std::string prefix = bin.ok() ? DirName(*bin) : "";
    for (const char* name : {"bin/multigres-agent", "libexec/multigres/multigres-shim", "libexec/multigres/pgctld",
                             "libexec/multigres/multipooler", "libexec/multigres/multigateway",
                             "libexec/multigres/multiorch", "libexec/multigres/multiadmin"}) {
      if (::access(JoinPath(prefix, name).c_str(), X_OK) != 0) {
        missing.push_back(JoinPath(prefix, name));
      }
    }
    missing.empty() ? Add("binaries", "ok", absl::StrCat("our programs are below ", prefix))
                    : Add("binaries", "failed", absl::StrCat("missing: ", absl::StrJoin(missing, ", ")),
                          "run 'make build', or install again");
    OnPath("etcd").empty() ? Add("binaries", "failed", "etcd was not found", "apt-get install etcd-server")
                           : Add("binaries", "ok", absl::StrCat("etcd is ", OnPath("etcd")));
    absl::StatusOr<pginstall::Installation> postgres = pginstall::Newest();
    postgres.ok() ? Add("binaries", "ok", absl::StrCat("PostgreSQL ", postgres->version, " in ", postgres->bin_dir))
                  : Add("binaries", "failed", "no PostgreSQL (14 to 17) was found", "apt-get install postgresql-15");
  }

  void Versions() {
    AgentOptions options{.environment = context_.environment(), .start = false};
    absl::StatusOr<std::unique_ptr<AgentClient>> client = AgentClient::Connect(options);
    if (!client.ok()) {
      bool absent = absl::IsUnavailable(client.status());
      Add("versions", absent ? "ok" : "failed",
          absent ? absl::StrCat("multigres ", kVersion, "; no agent runs") : std::string(client.status().message()),
          absent ? "" : DetailOf(client.status()).value_or(ErrorDetail{}).hint);
      return;
    }
    auto info = (*client)->Call(multigres::agent::v1::GetInfoRequest(), absl::Now() + absl::Seconds(5));
    if (!info.ok()) {
      Add("versions", "failed", absl::StrCat("the agent does not answer: ", std::string(info.status().message())),
          "multigres agent restart; components go on");
    } else if (std::string warning = VersionWarning(*info, kVersion); !warning.empty()) {
      Add("versions", "warning", warning, "multigres agent restart");
    } else {
      Add("versions", "ok", absl::StrCat("multigres and its agent are ", kVersion));
    }
  }

  void Configuration() {
    config::PlaceRequest request{.name = "",
                                 .config_path = context_.Selector().config_path(),
                                 .working_directory = context_.Selector().working_directory(),
                                 .home = place_.home};
    absl::StatusOr<config::ClusterPlace> found = config::FindPlace(request);
    found.ok() ? Add("configuration", "ok",
                     found->config_file.empty() ? "no file; defaults" : absl::StrCat(found->config_file, " is fine"))
               : Add("configuration", "failed", std::string(found.status().message()), "correct that line");
    for (const char* name : {"clusters.json"}) {
      std::string path = JoinPath(place_.home, name);
      absl::StatusOr<std::string> text = ReadFile(path);
      std::string body(absl::StripAsciiWhitespace(text.ok() ? *text : "{}"));
      body.size() >= 2 && body.front() == '{' && body.back() == '}'
          ? Add("state", "ok", absl::StrCat("state is in ", place_.home))
          : Add("state", "failed", absl::StrCat(path, " is broken"),
                absl::StrCat("move it away; 'multigres up' beside each configuration file finds its cluster again"));
    }
  }

  void SocketPath() {
    place_.socket.size() <= kLongestSocketPath
        ? Add("socket-path", "ok", place_.socket)
        : Add("socket-path", "failed", absl::StrCat(place_.socket, " is longer than 107 bytes"),
              "set MULTIGRES_AGENT_SOCKET to a shorter path");
  }

  void Leftovers() {
    absl::StatusOr<UniqueFd> socket = rpc::ConnectPrivate(place_.socket);
    bool stale = !socket.ok() && DetailOf(socket.status()).value_or(ErrorDetail{}).reason == "STALE_SOCKET";
    if (!stale) {
      return Add("leftovers", "ok", "no stale socket");
    }
    if (fix_ && ::unlink(place_.socket.c_str()) == 0) {
      return Add("leftovers", "fixed", absl::StrCat("removed ", place_.socket, ", on which nobody listened"));
    }
    Add("leftovers", "warning", absl::StrCat("nobody listens on ", place_.socket),
        "multigres doctor --fix removes it; the next agent would too", /*fixable=*/true);
  }

  /// Components whose state directory was deleted while they ran: no agent reaches them.
  void Orphans() {
    std::vector<shim::Orphan> orphans = shim::FindOrphans("");
    if (orphans.empty()) {
      return;
    }
    std::vector<std::string> names;
    for (const shim::Orphan& orphan : orphans) {
      names.push_back(absl::StrCat(orphan.run_dir, " (pid ", orphan.shim.pid, ")"));
    }
    std::string found =
        absl::StrCat("still running though its state directory was deleted: ", absl::StrJoin(names, ", "));
    if (!fix_) {
      return Add("leftovers", "warning", found, "multigres doctor --fix ends them", /*fixable=*/true);
    }
    absl::Status ended = shim::EndOrphans(orphans);
    ended.ok() ? Add("leftovers", "fixed", absl::StrCat("ended what was ", found))
               : Add("leftovers", "failed", std::string(ended.message()), "kill -9 these processes");
  }

  void Ports() {
    std::vector<std::string> busy;
    for (int port : {2379, 2380, 15000, 15432}) {
      if (!net::IsPortFree(port)) {
        busy.push_back(absl::StrCat(port, " (", net::DescribeHolder(net::HolderOf(port)), ")"));
      }
    }
    busy.empty() ? Add("ports", "ok", "the usual ports are free")
                 : Add("ports", "warning", absl::StrCat("in use: ", absl::StrJoin(busy, ", ")),
                       "a new cluster takes the next free ones; a fixed port must be changed in multigres.yaml");
  }

  void Limits() {
    rlimit files = {};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur >= 1024
        ? Add("limits", "ok", absl::StrCat(files.rlim_cur, " open files"))
        : Add("limits", "failed", absl::StrCat("only ", files.rlim_cur, " open files"), "ulimit -n 65536");
    rlimit processes = {};
    ::getrlimit(RLIMIT_NPROC, &processes);
    processes.rlim_cur >= 512
        ? Add("limits", "ok", "enough processes")
        : Add("limits", "failed", absl::StrCat("only ", processes.rlim_cur, " processes"), "ulimit -u 4096");
  }

  void Disk() {
    std::string path = place_.home;
    while (!Exists(path) && path != "/") {
      path = DirName(path);
    }
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
      return Add("disk", "failed", absl::StrCat("cannot look at ", path), "check that directory");
    }
    std::uint64_t room = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
    std::string detail = absl::StrCat(text::HumanBytes(room), " free in ", path);
    bool no_files = info.f_files > 0 && info.f_favail < 1000;
    room < 400 * kMiB || no_files
        ? Add("disk", "failed", no_files ? absl::StrCat("hardly any file can be made in ", path) : detail, "make room")
        : Add("disk", room < 2048 * kMiB ? "warning" : "ok", detail, room < 2048 * kMiB ? "make room" : "");
  }

  void Clock() {
    timex state = {};
    bool synchronised = ::adjtimex(&state) != TIME_ERROR;
    struct stat log {};
    if (::stat(place_.log_file.c_str(), &log) == 0 && log.st_mtime > absl::ToTimeT(absl::Now()) + 60) {
      return Add("clock", "failed", "the clock was set back: our log is from the future", "check the machine's clock");
    }
    Add("clock", synchronised ? "ok" : "warning",
        synchronised ? "synchronised" : "the kernel does not know it as synchronised",
        synchronised ? "" : "run an NTP service, such as systemd-timesyncd; in a container the host does it");
  }

  void Locale() {
    locale_t c_utf8 = ::newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
    if (c_utf8 == nullptr) {
      return Add("locale", "failed", "there is no locale C.UTF-8, which new databases get", "apt-get install libc-bin");
    }
    ::freelocale(c_utf8);
    std::setlocale(LC_ALL, "") != nullptr
        ? Add("locale", "ok", "C.UTF-8 is there")
        : Add("locale", "warning", "this shell's locale is not installed", "export LC_ALL=C.UTF-8");
  }

  void SharedMemory() {
    struct statvfs info {};
    std::uint64_t size =
        ::statvfs("/dev/shm", &info) == 0 ? static_cast<std::uint64_t>(info.f_blocks) * info.f_frsize : 0;
    size >= 64 * kMiB ? Add("shared-memory", "ok", absl::StrCat("/dev/shm has ", text::HumanBytes(size)))
                      : Add("shared-memory", "warning", absl::StrCat("/dev/shm has only ", text::HumanBytes(size)),
                            "start the container with --shm-size=256m");
    std::ifstream segments("/proc/sysvipc/shm");
    std::string line;
    std::getline(segments, line);
    std::vector<std::string> orphans;
    while (std::getline(segments, line)) {
      std::istringstream fields(line);
      long long key = 0, id = 0, bytes = 0, creator = 0, last = 0, attached = 0;
      unsigned uid = 0;
      std::string mode;
      fields >> key >> id >> mode >> bytes >> creator >> last >> attached >> uid;
      if (attached == 0 && uid == ::geteuid() && !IdentifyProcess(static_cast<pid_t>(creator)).ok()) {
        orphans.push_back(absl::StrCat(id));
      }
    }
    if (!orphans.empty()) {
      Add("shared-memory", "warning", absl::StrCat("segments whose maker is gone: ", absl::StrJoin(orphans, ", ")),
          absl::StrCat("ipcrm -m ", absl::StrJoin(orphans, " -m ")));
    }
  }

  void Cgroup() {
    const std::string base = cgroup::FindBase();
    std::vector<std::string> abandoned = cgroup::Abandoned(base);
    if (!abandoned.empty() && !fix_) {
      Add("cgroup", "warning",
          absl::StrCat(abandoned.size(), " empty control groups of killed shims are left in ", base),
          "multigres doctor --fix removes them");
    } else if (!abandoned.empty()) {
      for (const std::string& group : abandoned) {
        (void)::rmdir(group.c_str());  // whoever has entered it meanwhile keeps it
      }
      Add("cgroup", "fixed", absl::StrCat("removed empty control groups: ", abandoned.size()));
    }
    absl::StatusOr<std::string> own = ReadFile("/proc/self/cgroup");
    if (!Exists("/sys/fs/cgroup/cgroup.controllers") || !own.ok()) {
      return Add("cgroup", "ok",
                 base.empty() ? "no control groups can be made here: what a component starts is found by its shim"
                              : absl::StrCat("components have control groups in ", base, ", without bounds"));
    }
    std::string path(absl::StripAsciiWhitespace(own->substr(own->rfind(':') + 1)));
    for (const auto& [file, least, fix] :
         {std::tuple{"pids.max", 500ull, "allow at least 500 processes"},
          std::tuple{"memory.max", 1024ull * kMiB, "allow at least 1 GiB of memory"}}) {
      absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/sys/fs/cgroup", path, "/", file));
      std::uint64_t value = 0;
      bool bounded = text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &value) && value < least;
      bounded ? Add("cgroup", "warning", absl::StrCat(file, " of this cgroup is ", value), fix)
              : Add("cgroup", "ok", absl::StrCat(file, " is wide enough"));
    }
  }

  Context& context_;
  const AgentPlace place_;
  const bool fix_;
  multigres::cli::v1::DoctorOutput output_;
};

}  // namespace

multigres::cli::v1::DoctorOutput Examine(Context& context, const AgentPlace& place, bool fix) {
  return Doctor(context, place, fix).Run();
}

namespace {

/// For a terminal: what was found stands beside each check, wrapped, and its fix below.
std::string Lines(const multigres::cli::v1::DoctorOutput& output, const Terminal& terminal) {
  size_t name = 0, state = 0;
  for (const auto& check : output.checks()) {
    name = std::max(name, check.check().size());
    state = std::max(state, check.state().size());
  }
  const int indent = static_cast<int>(name + state) + 4;
  const int width = std::max(terminal.width, indent + 20);
  std::string lines;
  for (const auto& check : output.checks()) {
    absl::StrAppend(&lines, check.check(), std::string(name - check.check().size() + 2, ' '),
                    Styled(check.state(),
                           check.state() == "failed"    ? Style::kRed
                           : check.state() == "warning" ? Style::kYellow
                                                        : Style::kGreen,
                           terminal.out_colour),
                    std::string(state - check.state().size() + 2, ' '), Hanging(check.detail(), width, indent), "\n");
    if (!check.fix().empty()) {
      absl::StrAppend(&lines, std::string(static_cast<size_t>(indent), ' '),
                      Hanging(absl::StrCat("fix: ", check.fix()), width, indent), "\n");
    }
  }
  return lines;
}

int RunDoctor(Context& context) {
  absl::StatusOr<AgentPlace> place = FindAgent(context.environment());
  if (!place.ok()) {
    return context.Fail(place.status());
  }
  multigres::cli::v1::DoctorOutput output = Examine(context, *place, context.args().Has("fix"));
  context.Emit(output, [&] {
    if (context.terminal().out_is_tty) {
      return Lines(output, context.terminal());
    }
    Table table({"CHECK", "STATE", "FOUND", "FIX"});
    for (const auto& check : output.checks()) {
      table.Add({check.check(), check.state(), check.detail(), check.fix()});
    }
    return table.Render(0, false);
  });
  return output.healthy() ? kExitOk : kExitUnhealthy;
}

}  // namespace

Command DoctorCommand() {
  return {
      .path = "doctor",
      .summary = "check this machine and what is left on it",
      .description =
          "Check programs, versions, configuration, sockets, leftovers, ports, limits, disk, clock, locale, shared "
          "memory and cgroup, and say how to put right what is wrong. Needs no agent and starts none. Exit status 4 "
          "when a check failed.",
      .flags = {{.name = "fix", .help = "put right what can be without a risk"}},
      .examples = {{"multigres doctor", "what may be wrong here"},
                   {"multigres doctor --fix", "and repair what is safe to repair"}},
      .group = "CONFIGURATION",
      .run = RunDoctor,
  };
}

}  // namespace mg::cli
