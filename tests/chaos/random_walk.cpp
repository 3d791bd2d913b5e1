// A random walk over commands and faults against a model of what a supervisor promises. The agent, its supervisor,
// probes, records and shims are the real ones; components are cheap, and time is moved instead of waited for. After
// each step: never two of a component. Again and again: every fault is mended, time passes, and then exactly what is
// wanted runs and answers, with nothing beside it: never wedged. Everything random comes from one seed.
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"
#include "common/shim_protocol/shim.h"
#include "tests/integration/agent_sandbox.h"

namespace mg::tests {
namespace {

constexpr int kComponents = 4;
constexpr size_t kDiskBytes = 2 << 20;
constexpr int kSettleRounds = 60;
constexpr absl::Duration kRound = absl::Milliseconds(120);  // of real time, before 5 s of moved time
constexpr absl::Duration kCallBound = absl::Seconds(30);

/// What the walk found; ends it.
[[noreturn]] void Violation(const std::string& what) { throw std::runtime_error(what); }

struct Copies {
  int mains = 0, grandchildren = 0, shims = 0;
};

/// Empty when it is not there (any more).
std::string ReadText(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? *text : "";
}

int FreePortRange(std::mt19937_64& random) {
  for (;;) {
    int first = 20000 + static_cast<int>(random() % 10000);
    bool all = true;
    for (int i = 1; i <= kComponents; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<std::uint16_t>(first + i));
      all = all && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    if (all) {
      return first;
    }
  }
}

class Walk {
 public:
  explicit Walk(std::uint64_t seed) : random_(seed), sandbox_("multigres-agent-walk") {
    root_ = sandbox_.directory() + "/root";
    controls_ = sandbox_.directory() + "/controls";
    if (!MakeDirectories(root_, 0700).ok() || !MakeDirectories(controls_, 0700).ok()) {
      Violation("the sandbox cannot be made");
    }
    std::string size = absl::StrCat("size=", kDiskBytes);
    small_disk_ = ::mount("tmpfs", root_.c_str(), "tmpfs", 0, size.c_str()) == 0;
    if (!small_disk_) {
      std::printf("a small disk cannot be mounted here: no disk is full in this walk\n");
    }
    auto& environment = sandbox_.environment();
    environment["WALK_ROOT"] = root_;
    environment["WALK_CONTROLS"] = controls_;
    environment["WALK_COMPONENTS"] = absl::StrCat(kComponents);
    environment["WALK_PORT"] = absl::StrCat(FreePortRange(random_));
    for (int i = 0; i < kComponents; ++i) {
      SetMode(i, "ok");
    }
    WriteClock();
  }

  ~Walk() {
    EndAgent();
    for (int i = 0; i < kComponents; ++i) {
      (void)shim::StopAndWait(RunDir(i), {{.signal = SIGKILL}});
    }
    if (small_disk_) {
      ::umount2(root_.c_str(), MNT_DETACH);
    }
  }

  /// Its last lines.
  std::string AgentLog() const {
    std::string text = ReadText(sandbox_.home() + "/agent.log");
    return text.substr(text.size() - std::min<size_t>(text.size(), 6000));
  }

  void Run(int steps, bool verbose) {
    using Act = std::pair<int, std::function<std::string()>>;
    const std::vector<Act> acts = {{6, [this] { return Command("start"); }},
                                   {4, [this] { return Command("stop"); }},
                                   {3, [this] { return Command("restart"); }},
                                   {4, [this] { return KillDuringCommand(); }},
                                   {6, [this] { return KillComponent(SIGKILL); }},
                                   {2, [this] { return KillComponent(SIGTERM); }},
                                   {3, [this] { return KillComponent(SIGSTOP); }},
                                   {4, [this] { return KillShim(); }},
                                   {4, [this] { return KillAgent(); }},
                                   {2, [this] { return SignalByAgent(); }},
                                   {4, [this] { return ChangeMode(); }},
                                   {4, [this] { return StepWallClock(); }},
                                   {4, [this] { return PassTime(); }},
                                   {2, [this] { return FillDisk(); }},
                                   {6, [this] { return Settle(); }}};
    int total = 0;
    for (const Act& act : acts) {
      total += act.first;
    }
    now_ = "at the start";
    (void)Client();  // the first agent writes the cluster's record, which a full disk would not take
    for (int step = 1; step <= steps; ++step) {
      int draw = static_cast<int>(random_() % static_cast<std::uint64_t>(total));
      size_t which = 0;
      while (draw >= acts[which].first) {
        draw -= acts[which++].first;
      }
      now_ = absl::StrCat("step ", step);
      std::string what = acts[which].second();
      if (verbose) {
        std::printf("%6d %s\n", step, what.c_str());
        std::fflush(stdout);
      }
      CheckCopies();
      ++counts_[what.substr(0, what.find(' '))];
    }
    now_ = "at the end";
    Settle();
    for (int i = 0; i < kComponents; ++i) {
      absl::Status stopped = Order("stop", i);
      if (!stopped.ok()) {
        Violation(absl::StrCat("the last stop of ", Name(i), " failed: ", stopped.ToString()));
      }
      wanted_[Index(i)] = false;
    }
    Settle();
    for (const auto& [word, count] : counts_) {
      std::printf("%-10s %d\n", word.c_str(), count);
    }
  }

 private:
  static size_t Index(int i) { return static_cast<size_t>(i); }
  static std::string Name(int i) { return absl::StrCat("multiorch/c", i + 1); }
  std::string RunDir(int i) const { return absl::StrCat(root_, "/run/", Name(i)); }
  int Any() { return static_cast<int>(random_() % kComponents); }

  // --- what the walk does ---

  std::string Command(const std::string& verb) {
    int i = Any();
    absl::Status status = Order(verb, i);
    bool target = verb != "stop";
    bool may_fail = disk_full_ || (target && Mode(i) != "ok" && Mode(i) != "stubborn");
    if (!status.ok() && !may_fail) {
      Violation(absl::StrCat(now_, ": ", verb, " ", Name(i), " failed: ", status.ToString()));
    }
    Learn(i, target, /*certain=*/status.ok());
    return absl::StrCat(verb, " ", Name(i), status.ok() ? "" : " (failed)");
  }

  std::string KillDuringCommand() {
    static const std::array<std::string, 3> kVerbs = {"start", "stop", "restart"};
    int i = Any();
    const std::string& verb = kVerbs[random_() % 3];
    (void)Client();  // one is there to be killed
    std::thread command([&] { (void)Order(verb, i, /*start=*/false); });
    // The moment of the kill is what varies.
    ::poll(nullptr, 0, static_cast<int>(random_() % 40));
    EndAgent();
    command.join();
    Learn(i, verb != "stop", /*certain=*/false);
    return absl::StrCat("killed the agent during ", verb, " ", Name(i));
  }

  std::string KillComponent(int signal) {
    int i = Any();
    shim::ShimState state = shim::ReadShimState(RunDir(i));
    if (state.child_alive) {
      ::kill(state.child->pid, signal);
    }
    return absl::StrCat("signal ", signal, " to ", Name(i));
  }

  std::string KillShim() {
    int i = Any();
    shim::ShimState state = shim::ReadShimState(RunDir(i));
    if (state.shim_alive) {
      ::kill(state.shim->pid, SIGKILL);
    }
    return absl::StrCat("shim-kill ", Name(i));
  }

  std::string KillAgent() {
    EndAgent();
    return "agent-kill";
  }

  std::string SignalByAgent() {
    int i = Any();
    cli::agent::SignalComponentRequest request;
    request.set_component(Name(i));
    bool kill = random_() % 2 == 0;
    request.set_signal(kill ? SIGKILL : SIGTERM);
    // A stubborn one would outlive its grandchild after a SIGTERM to all.
    request.set_whole_tree(kill && random_() % 2 == 0);
    (void)Client()->Call(request, absl::Now() + kCallBound);  // refused where it does not run
    return absl::StrCat("agent-signal ", Name(i));
  }

  std::string ChangeMode() {
    static const std::array<std::string, 6> kModes = {"ok", "ok", "unready", "silent", "stubborn", "broken"};
    int i = Any();
    SetMode(i, kModes[random_() % kModes.size()]);
    return absl::StrCat("mode ", Name(i), " ", Mode(i));
  }

  std::string StepWallClock() {
    static const std::array<int, 4> kSteps = {-86400, -3600, 3600, 86400};
    wall_ += kSteps[random_() % kSteps.size()];
    Tick();
    return absl::StrCat("clock ", wall_);
  }

  std::string PassTime() {
    int seconds = 1 + static_cast<int>(random_() % 60);
    steady_ += seconds;
    wall_ += seconds;
    Tick();
    return absl::StrCat("time ", seconds);
  }

  std::string FillDisk() {
    if (!small_disk_ || disk_full_) {
      FreeDisk();
      return "disk has room";
    }
    UniqueFd fd(::open((root_ + "/fill").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    std::vector<char> zeros(4096);
    while (::write(fd.get(), zeros.data(), zeros.size()) > 0) {
    }
    disk_full_ = true;
    return "disk is full";
  }

  void FreeDisk() {
    (void)::unlink((root_ + "/fill").c_str());
    disk_full_ = false;
  }

  /// Mends every fault and lets time pass until all is as it is wanted.
  std::string Settle() {
    FreeDisk();
    for (int i = 0; i < kComponents; ++i) {
      SetMode(i, "ok");
    }
    std::string wrong;
    for (int round = 0; round < kSettleRounds; ++round) {
      absl::Time until = absl::Now() + kRound;
      do {
        wrong = WhatIsWrong();
        if (wrong.empty()) {
          return absl::StrCat("settled after ", round, " rounds");
        }
        CheckCopies();
        ::poll(nullptr, 0, 3);
      } while (absl::Now() < until);
      steady_ += 5;
      wall_ += 5;
      Tick();
    }
    Violation(absl::StrCat(now_, ": wedged: ", wrong));
  }

  // --- what the model says ---

  std::string WhatIsWrong() {
    cli::agent::GetClusterRequest request;
    auto reply = Client()->Call(request, absl::Now() + kCallBound);
    if (!reply.ok()) {
      return absl::StrCat("no status: ", reply.status().ToString());
    }
    std::map<std::string, Copies> copies = Count();
    for (const auto& component : reply->status().components()) {
      int i = component.name().back() - '1';
      bool wanted = wanted_[Index(i)];
      const Copies& found = copies[RunDir(i)];
      int count = wanted ? 1 : 0;
      if (component.phase() != (wanted ? "running" : "stopped") || (component.pid() != 0) != wanted ||
          found.mains != count || found.grandchildren != count || found.shims != count) {
        return absl::StrCat(component.name(), " is ", component.phase(), " (pid ", component.pid(), ", ", found.mains,
                            " of it, ", found.grandchildren, " grandchildren, ", found.shims, " shims), wanted ",
                            component.desired(), ": ", component.reason());
      }
    }
    return reply->status().components_size() == kComponents ? "" : "components are missing";
  }

  /// After an order whose outcome may not be known: what the record says, which is what was or what was asked for.
  void Learn(int i, bool target, bool certain) {
    auto reply = Client()->Call(cli::agent::GetClusterRequest(), absl::Now() + kCallBound);
    if (!reply.ok()) {
      Violation(absl::StrCat(now_, ": no status: ", reply.status().ToString()));
    }
    bool recorded = reply->status().components(i).desired() == "running";
    if (recorded != target && (certain || recorded != wanted_[Index(i)])) {
      Violation(absl::StrCat(now_, ": ", Name(i), " is wanted ", recorded ? "running" : "stopped",
                             ", and neither was nor should be"));
    }
    wanted_[Index(i)] = recorded;
  }

  void CheckCopies() {
    for (const auto& [run_dir, copies] : Count()) {
      if (copies.mains > 1 || copies.grandchildren > 1) {
        Violation(absl::StrCat(now_, ": ", copies.mains, " copies and ", copies.grandchildren, " grandchildren of ",
                               run_dir));
      }
    }
  }

  /// Processes of the components, by run directory.
  std::map<std::string, Copies> Count() const {
    std::map<std::string, Copies> result;
    DIR* proc = ::opendir("/proc");
    while (dirent* entry = proc != nullptr ? ::readdir(proc) : nullptr) {
      std::string directory = absl::StrCat("/proc/", entry->d_name, "/");
      if (entry->d_name[0] < '0' || entry->d_name[0] > '9') {
        continue;
      }
      std::string name = ReadText(directory + "comm");
      if (absl::StartsWith(name, "shim ")) {
        std::string command = ReadText(directory + "cmdline");
        size_t at = command.find('\0');
        if (at != std::string::npos && absl::StrContains(command, root_)) {
          ++result[command.substr(at + 1, command.find('\0', at + 1) - at - 1)].shims;
        }
        continue;
      }
      if (name != "walk-main\n" && name != "walk-grandchild\n") {
        continue;
      }
      std::string environment = ReadText(directory + "environ");
      size_t at = environment.find(kMark);
      if (at == std::string::npos) {
        continue;
      }
      at += kMark.size();
      std::string run_dir = environment.substr(at, environment.find('\0', at) - at);
      if (absl::StartsWith(run_dir, root_)) {
        ++(name == "walk-main\n" ? result[run_dir].mains : result[run_dir].grandchildren);
      }
    }
    if (proc != nullptr) {
      ::closedir(proc);
    }
    return result;
  }

  // --- how it is done ---

  std::unique_ptr<cli::AgentClient> Client(bool start = true) {
    absl::StatusOr<std::unique_ptr<cli::AgentClient>> client = sandbox_.Connect(start);
    if (!client.ok()) {
      Violation(absl::StrCat(now_, ": no agent: ", client.status().ToString()));
    }
    return *std::move(client);
  }

  absl::Status Order(const std::string& verb, int i, bool start = true) {
    absl::StatusOr<std::unique_ptr<cli::AgentClient>> client = sandbox_.Connect(start);
    if (!client.ok()) {
      return client.status();
    }
    cli::agent::ComponentRequest request;
    request.set_component(Name(i));
    if (Mode(i) != "ok" && Mode(i) != "stubborn") {
      request.mutable_options()->mutable_timeout()->set_seconds(1);  // it will not become ready
    }
    absl::Status result = absl::UnavailableError("it has no result");
    auto reader = [&](const cli::agent::OperationEvent& event) {
      if (event.progress().has_result()) {
        result = cli::ResultOf(event.progress().result());
      }
      return true;
    };
    absl::Status status = verb == "start"  ? (*client)->StartComponent(request, reader)
                          : verb == "stop" ? (*client)->StopComponent(request, reader)
                                           : (*client)->RestartComponent(request, reader);
    return status.ok() ? result : status;
  }

  void EndAgent() {
    pid_t pid = 0;
    absl::StatusOr<std::string> holder = ReadFile(sandbox_.home() + "/agent.lock");
    if (holder.ok() && absl::SimpleAtoi(*holder, &pid) && pid > 0 &&
        absl::StrContains(ReadText(absl::StrCat("/proc/", pid, "/cmdline")), "multigres-agent-walk")) {
      ::kill(pid, SIGKILL);
      WaitForEnd(pid);
    }
  }

  std::string Mode(int i) const { return modes_[Index(i)]; }
  void SetMode(int i, const std::string& mode) {
    modes_[Index(i)] = mode;
    if (!WriteFileAtomically(absl::StrCat(controls_, "/mode-", i + 1), mode).ok()) {
      Violation("the controls cannot be written");
    }
  }
  void WriteClock() {
    if (!WriteFileAtomically(controls_ + "/clock", absl::StrCat(wall_, " ", steady_, "\n")).ok()) {
      Violation("the clock cannot be written");
    }
  }
  void Tick() {
    WriteClock();
    (void)Client()->Call(cli::agent::PlanUpRequest(), absl::Now() + kCallBound);
  }

  static constexpr std::string_view kMark = "MULTIGRES_SHIM_RUN_DIR=";
  std::mt19937_64 random_;
  AgentSandbox sandbox_;
  std::string root_, controls_, now_ = "at the start";
  std::array<bool, kComponents> wanted_ = {};
  std::array<std::string, kComponents> modes_;
  std::map<std::string, int> counts_;
  std::int64_t wall_ = 0, steady_ = 0;
  bool small_disk_ = false, disk_full_ = false;
};

}  // namespace
}  // namespace mg::tests

int main(int argc, char** argv) {
  std::uint64_t seed = std::random_device{}();
  if (const char* given = std::getenv("MG_CHAOS_SEED"); given != nullptr) {
    seed = std::strtoull(given, nullptr, 10);
  }
  int steps = argc > 1 ? std::atoi(argv[1]) : 0;
  if (steps < 1) {
    std::fprintf(stderr, "usage: %s STEPS [-v]\n", argv[0]);
    return 2;
  }
  std::printf("seed %llu: MG_CHAOS_SEED=%llu repeats this walk\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  mg::tests::Walk walk(seed);
  try {
    walk.Run(steps, argc > 2);
  } catch (const std::runtime_error& violation) {
    std::fflush(stdout);
    std::fprintf(stderr, "VIOLATION with seed %llu: %s\nthe end of the agent's log:\n%s\n",
                 static_cast<unsigned long long>(seed), violation.what(), walk.AgentLog().c_str());
    return 1;
  }
  std::printf("%d steps survived\n", steps);
  return 0;
}
