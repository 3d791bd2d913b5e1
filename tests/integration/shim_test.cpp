#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/process/scan.h"
#include "common/shim_protocol/orphans.h"
#include "common/shim_protocol/shim.h"
#include "common/shim_record/record.h"
#include "gtest/gtest.h"

namespace mg::shim {
namespace {

bool Eventually(const std::function<bool()>& predicate, absl::Duration bound = absl::Seconds(10)) {
  absl::Time deadline = absl::Now() + bound;
  while (!predicate()) {
    if (absl::Now() > deadline) {
      return false;
    }
    ::poll(nullptr, 0, 5);
  }
  return true;
}

class ShimTest : public testing::Test {
 protected:
  ShimTest() : shim_(JoinPath(std::getenv("MULTIGRES_BUILD_DIR"), "libexec/multigres/multigres-shim")) {
    char name[] = "/tmp/mg-shim.XXXXXX";
    root_ = ::mkdtemp(name);
    ::chmod(root_.c_str(), 0755);
    spec_.name = "test/zone1";
    spec_.run_dir = JoinPath(root_, "run");
    spec_.log_dir = JoinPath(root_, "log");
    spec_.environment = {"PATH=/usr/bin:/bin"};
    spec_.working_directory = "/";
    spec_.generation = 1;
    EXPECT_TRUE(MakeDirectories(spec_.run_dir, 0700).ok());
    EXPECT_TRUE(MakeDirectories(spec_.log_dir, 0700).ok());
  }
  ~ShimTest() override {
    EXPECT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGKILL, .whole_tree = true}}).ok());
    EXPECT_TRUE(RemoveTree(root_).ok());
  }
  absl::StatusOr<ShimState> Start(const std::string& script) {
    spec_.argv = {"/bin/sh", "-c", script};
    return Launch(shim_, spec_);
  }
  std::string Log() {
    absl::StatusOr<std::string> text = ReadFile(JoinPath(spec_.log_dir, "current.log"));
    return text.ok() ? *text : "";
  }
  ShimState Ended() {
    EXPECT_TRUE(Eventually([&] { return !ReadShimState(spec_.run_dir).shim_alive; }));
    return ReadShimState(spec_.run_dir);
  }
  /// Processes that run as this component.
  std::vector<ProcessId> Marked() const {
    return ProcessesWithEnvironment(absl::StrCat("MULTIGRES_SHIM_RUN_DIR=", spec_.run_dir));
  }
  std::string shim_, root_;
  LaunchSpec spec_;
};

TEST_F(ShimTest, Component_IsIdentifiedLoggedAndItsExitRecorded) {
  absl::StatusOr<ShimState> state = Start("echo out; echo err >&2; printf unfinished; exit 7");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->child.has_value());
  ShimState ended = Ended();
  ASSERT_TRUE(ended.exit.has_value()) << ended.problem;
  EXPECT_EQ(ended.exit->exit_code, 7);
  EXPECT_EQ(ended.exit->signal, 0);
  EXPECT_EQ(ended.exit->generation, 1);
  EXPECT_FALSE(ended.child_alive);
  std::string log = Log();
  EXPECT_NE(log.find(" stdout F out\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" stderr F err\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" stdout F unfinished\n"), std::string::npos) << log;
  EXPECT_FALSE(Exists(JoinPath(spec_.run_dir, "control.sock")));
}

TEST_F(ShimTest, ProgramThatIsMissing_IsAClearError) {
  spec_.argv = {"/nonexistent/program"};
  absl::Status status = Launch(shim_, spec_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "test/zone1 could not be started: execute /nonexistent/program: No such file or directory");
  EXPECT_FALSE(ReadShimState(spec_.run_dir).shim_alive);
}

TEST_F(ShimTest, SecondLaunch_IsRefused) {
  ASSERT_TRUE(Start("exec sleep 60").ok());
  EXPECT_EQ(Start("exec sleep 60").status().code(), absl::StatusCode::kAlreadyExists);
  // Even when the identity is gone, the lock is not.
  ASSERT_TRUE(RemoveTree(JoinPath(spec_.run_dir, "identity")).ok());
  EXPECT_EQ(Start("exec sleep 60").status().code(), absl::StatusCode::kAlreadyExists);
  absl::StatusOr<std::unique_ptr<ShimClient>> client = ShimClient::Connect(spec_.run_dir);
  ASSERT_TRUE(client.ok());
  ASSERT_TRUE((*client)->Stop({{.signal = SIGKILL}}).ok());
  EXPECT_TRUE((*client)->WaitExit(absl::Now() + absl::Seconds(5)).ok());
}

TEST_F(ShimTest, LauncherThatDies_LosesNothing) {
  pid_t launcher = ::fork();
  if (launcher == 0) {
    spec_.argv = {"/bin/sh", "-c",
                  "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; echo ready; exec sleep 60"};
    bool ok = Launch(shim_, spec_).ok();
    ::kill(::getpid(), ok ? SIGKILL : SIGTERM);
  }
  int status = 0;
  ::waitpid(launcher, &status, 0);
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Log().find(" F ready\n") != std::string::npos; }));
  ShimState state = ReadShimState(spec_.run_dir);
  EXPECT_TRUE(state.shim_alive && state.child_alive);
  for (int i = 0; i < 200; ++i) {
    EXPECT_NE(Log().find(absl::StrCat(" stdout F line ", i, "\n")), std::string::npos) << i;
  }
}

TEST_F(ShimTest, ShimThatIsKilled_TakesItsComponentAlong) {
  absl::StatusOr<ShimState> state = Start("exec sleep 60");
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(SignalProcess(*state->shim, SIGKILL).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(*state->child); }));
  // And the next start is not held up by what the dead one left.
  EXPECT_TRUE(Start("exec sleep 60").ok());
}

TEST_F(ShimTest, LadderEscalates_WhenTheComponentDoesNotListen) {
  ASSERT_TRUE(Start("trap '' TERM INT; echo ready; while :; do sleep 1; done").ok());
  ASSERT_TRUE(Eventually([&] { return Log().find("ready") != std::string::npos; }));
  absl::Time began = absl::Now();
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM, .wait = absl::Milliseconds(100)},
                                          {.signal = SIGINT, .wait = absl::Milliseconds(100)}})
                  .ok());
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
  EXPECT_EQ(ReadShimState(spec_.run_dir).exit->signal, SIGKILL);
}

TEST_F(ShimTest, GrandchildThatLeftTheGroup_EndsWithTheComponent) {
  ASSERT_TRUE(Start("setsid sleep 61 & echo $!; exec sleep 60").ok());
  ASSERT_TRUE(Eventually([&] { return !Log().empty(); }));
  std::vector<std::string> words = absl::StrSplit(std::string(absl::StripSuffix(Log(), "\n")), ' ');
  pid_t grandchild = std::atoi(words.back().c_str());
  ASSERT_GT(grandchild, 1);
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM}}).ok());
  absl::StatusOr<ProcessId> left = IdentifyProcess(grandchild);
  EXPECT_TRUE(!left.ok() || !IsAlive(*left));
}

TEST_F(ShimTest, RecordOfAStranger_IsNeverSignalled) {
  absl::StatusOr<ShimState> state = Start("exec sleep 60");
  ASSERT_TRUE(state.ok());
  std::string path = JoinPath(spec_.run_dir, "identity");
  std::string text = *ReadFile(path);
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGKILL}}).ok());
  // Torn and empty files are survived, and said.
  for (const std::string& broken : {text.substr(0, text.size() / 2), std::string(), std::string("garbage\n")}) {
    ASSERT_TRUE(WriteFileAtomically(path, broken).ok());
    ShimState read = ReadShimState(spec_.run_dir);
    EXPECT_FALSE(read.child.has_value());
    EXPECT_NE(read.problem, "");
    EXPECT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGKILL}}).ok());
  }
  // The dead component's identity names nobody that lives.
  ASSERT_TRUE(WriteFileAtomically(path, text).ok());
  EXPECT_FALSE(ReadShimState(spec_.run_dir).child_alive);
}

TEST_F(ShimTest, RecordOfALivingStranger_IsStaleAndTheStrangerLeftAlone) {
  ASSERT_TRUE(Start("exec sleep 60").ok());
  std::string path = JoinPath(spec_.run_dir, "identity");
  std::string text = *ReadFile(path);
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGKILL}}).ok());
  ASSERT_TRUE(RemoveTree(JoinPath(spec_.run_dir, "exit")).ok());  // as if the shim had been killed
  char program[] = "sleep", seconds[] = "1000";
  char* argv[] = {program, seconds, nullptr};
  pid_t stranger = 0;
  ASSERT_EQ(::posix_spawnp(&stranger, program, nullptr, nullptr, argv, environ), 0);
  absl::StatusOr<ProcessId> id = IdentifyProcess(stranger);
  ASSERT_TRUE(id.ok());
  // The number came back with another start time; then with the same one, but of another boot.
  for (bool other_boot : {false, true}) {
    auto [record, problem] = Record::Decode(text);
    ASSERT_EQ(problem, "");
    Record stale;
    for (const char* key : {"shim_pid", "child_pid"}) {
      stale.Add(key, stranger);
    }
    for (const char* key : {"shim_start", "child_start"}) {
      stale.Add(key, static_cast<std::int64_t>(id->start_ticks) - (other_boot ? 0 : 1));
    }
    stale.Add("generation", record.GetInt("generation"));
    stale.Add("boot_id", other_boot ? "00000000-0000-0000-0000-000000000000" : BootId());
    ASSERT_EQ(WriteRecord(path, stale, false), 0);
    ShimState state = ReadShimState(spec_.run_dir);
    EXPECT_FALSE(state.shim_alive || state.child_alive);
    EXPECT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGKILL, .whole_tree = true}}).ok());
    EXPECT_TRUE(IsAlive(*id)) << "a stranger was signalled";
  }
  ASSERT_TRUE(Start("exec sleep 60").ok());
  EXPECT_TRUE(IsAlive(*id)) << "a stranger was signalled";
  ::kill(stranger, SIGKILL);
  ::waitpid(stranger, nullptr, 0);
}

TEST_F(ShimTest, RotatesBySize) {
  spec_.log_max_bytes = 4000;
  spec_.log_max_files = 2;
  ASSERT_TRUE(Start("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done").ok());
  Ended();
  EXPECT_LT(TreeSize(spec_.log_dir), 3 * 4000u + 1000u);
  EXPECT_NE(Log().find("line 999\n"), std::string::npos);
}

TEST_F(ShimTest, LongDirectory_StillHasAControlSocket) {
  spec_.run_dir = JoinPath(root_, std::string(120, 'x'));
  ASSERT_TRUE(MakeDirectories(spec_.run_dir, 0700).ok());
  ASSERT_TRUE(Start("exec sleep 60").ok());
  EXPECT_TRUE(ShimClient::Connect(spec_.run_dir).ok());
}

TEST_F(ShimTest, AnotherUser_WhenRoot) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root may change users";
  }
  spec_.run_as = "nobody";
  ASSERT_TRUE(Start("id -un").ok());
  Ended();
  EXPECT_NE(Log().find(" stdout F nobody\n"), std::string::npos) << Log();
  // Its own output by name, which is the pipe's owner's alone; and the tie to its shim.
  spec_.generation = 2;
  absl::StatusOr<ShimState> state = Start("echo named > /dev/stderr; exec sleep 60");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(Eventually([&] { return Log().find(" stderr F named\n") != std::string::npos; })) << Log();
  ASSERT_TRUE(SignalProcess(*state->shim, SIGKILL).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(*state->child); }));
  spec_.run_as = "no-such-user-here";
  EXPECT_EQ(Start("id").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ShimTest, IdleShims_ShareAllButLittleMemory) {
#ifdef MG_SANITIZED
  GTEST_SKIP() << "sanitizers have memory of their own";
#endif
  absl::StatusOr<ShimState> state = Start("seq 1 100000; yes '' | head -n 100000; echo idle; exec sleep 60");
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(Eventually([&] { return Log().find(" stdout F idle\n") != std::string::npos; }));
  // Pages of the program are private as long as one process alone has mapped them; a cluster has many shims.
  LaunchSpec other = spec_;
  other.run_dir = JoinPath(root_, "run2");
  ASSERT_TRUE(MakeDirectories(other.run_dir, 0700).ok());
  ASSERT_TRUE(Launch(shim_, other).ok());
  std::ifstream rollup(absl::StrCat("/proc/", state->shim->pid, "/smaps_rollup"));
  std::string line;
  int private_kib = 0;
  while (std::getline(rollup, line)) {
    int value = 0;
    if (std::sscanf(line.c_str(), "Private_Clean: %d kB", &value) == 1 ||
        std::sscanf(line.c_str(), "Private_Dirty: %d kB", &value) == 1) {
      private_kib += value;
    }
  }
  EXPECT_TRUE(StopAndWait(other.run_dir, {{.signal = SIGKILL}}).ok());
  EXPECT_GT(private_kib, 0);
  EXPECT_LE(private_kib, 300);
  RecordProperty("private_kib", private_kib);
}

TEST_F(ShimTest, RestartAtOnceAfterTheEnd_IsNotRefused) {
  for (int i = 1; i <= 5; ++i) {
    spec_.generation = i;
    ASSERT_TRUE(Start("exec sleep 60").ok()) << i;
    absl::StatusOr<std::unique_ptr<ShimClient>> client = ShimClient::Connect(spec_.run_dir);
    ASSERT_TRUE(client.ok());
    ASSERT_TRUE((*client)->Signal(SIGKILL).ok());
    absl::StatusOr<ExitRecord> exit = (*client)->WaitExit(absl::Now() + absl::Seconds(5));
    ASSERT_TRUE(exit.ok()) << exit.status();
    EXPECT_EQ(exit->signal, SIGKILL);
    EXPECT_EQ(exit->generation, i);
  }
}

TEST_F(ShimTest, ManyLaunchersAtOnce_GiveOneComponent) {
  constexpr int kLaunchers = 8;
  spec_.argv = {"/bin/sleep", "60"};
  std::vector<std::thread> threads;
  std::atomic<int> started = 0, refused = 0;
  for (int i = 0; i < kLaunchers; ++i) {
    threads.emplace_back([&, spec = spec_, i]() mutable {
      spec.generation = i + 1;
      absl::StatusOr<ShimState> state = Launch(shim_, spec);
      started += state.ok() && state->launch->generation == i + 1 ? 1 : 0;
      refused += absl::IsAlreadyExists(state.status()) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(started, 1);
  EXPECT_EQ(refused, kLaunchers - 1);
  EXPECT_EQ(Marked().size(), 1u);
}

TEST_F(ShimTest, ShimThatHasEnded_LeavesNoZombie) {
  absl::StatusOr<ShimState> state = Start("exit 0");
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(Eventually([&] {
    (void)ReadShimState(spec_.run_dir);
    return !Exists(absl::StrCat("/proc/", state->shim->pid));
  }));
}

TEST_F(ShimTest, IdentityThatIsGoneOrTorn_IsWrittenAnewByTheShim) {
  absl::StatusOr<ShimState> state = Start("exec sleep 60");
  ASSERT_TRUE(state.ok());
  std::string path = JoinPath(spec_.run_dir, "identity");
  for (bool torn : {false, true}) {
    ASSERT_TRUE(RemoveTree(path).ok());
    if (torn) {
      ASSERT_TRUE(WriteFileAtomically(path, "multigres-shim 1\npid=").ok());
    }
    ShimState read = ReadShimState(spec_.run_dir);
    EXPECT_EQ(read.problem, "");
    EXPECT_TRUE(read.shim_alive && read.child_alive);
    EXPECT_EQ(read.child, state->child);
  }
  ASSERT_TRUE(RemoveTree(path).ok());
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM}}).ok());
  EXPECT_FALSE(IsAlive(*state->child));
}

TEST_F(ShimTest, WhoseRunDirectoryWasDeleted_IsAnOrphanThatCanBeEnded) {
  absl::StatusOr<ShimState> state = Start("sleep 61 & exec sleep 60");
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(Eventually([&] { return Marked().size() == 2; }));
  EXPECT_TRUE(FindOrphans(root_).empty());
  // A file that is missing is made up for; it does not make an orphan.
  ASSERT_TRUE(RemoveTree(JoinPath(spec_.run_dir, "launch.lock")).ok());
  EXPECT_TRUE(FindOrphans(root_).empty());
  // The shim may just be writing its identity anew, for whoever asked.
  ASSERT_TRUE(Eventually([&] { return RemoveTree(spec_.run_dir).ok(); }));
  std::vector<Orphan> orphans = FindOrphans(root_);
  ASSERT_EQ(orphans.size(), 1u);
  EXPECT_EQ(orphans[0].shim, *state->shim);
  EXPECT_EQ(orphans[0].run_dir, spec_.run_dir);
  EXPECT_TRUE(FindOrphans(root_ + "/elsewhere").empty());
  ASSERT_TRUE(EndOrphans(orphans).ok());
  EXPECT_FALSE(IsAlive(*state->shim));
  EXPECT_FALSE(IsAlive(*state->child));
  EXPECT_TRUE(Marked().empty());
  // The next one in its place is none.
  ASSERT_TRUE(MakeDirectories(spec_.run_dir, 0700).ok());
  ASSERT_TRUE(Start("exec sleep 62").ok());
  EXPECT_TRUE(FindOrphans(root_).empty());
}

TEST_F(ShimTest, WhatAKilledShimLeft_EndsBeforeTheNextStart) {
  absl::StatusOr<ShimState> state = Start("(trap '' TERM; exec sleep 61) & exec sleep 60");
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(Eventually([&] { return Marked().size() == 2; }));
  ASSERT_TRUE(SignalProcess(*state->shim, SIGKILL).ok());
  ASSERT_TRUE(Eventually([&] { return !IsAlive(*state->child) && !IsAlive(*state->shim); }));
  EXPECT_EQ(Marked().size(), 1u);
  ASSERT_TRUE(Start("exec sleep 62").ok());
  EXPECT_EQ(Marked().size(), 1u);
}

TEST_F(ShimTest, WhatAKilledShimLeft_EndsByItsControlGroupThoughItHidesItsMark) {
  absl::StatusOr<ShimState> state = Start("env -i setsid sleep 61 & echo $!; exec sleep 60");
  ASSERT_TRUE(state.ok());
  auto [identity, problem] = ReadRecord(JoinPath(spec_.run_dir, "identity"));
  std::string group = identity.Get("cgroup");
  if (group.empty()) {
    GTEST_SKIP() << "this machine allows no control groups";
  }
  ASSERT_TRUE(Eventually([&] { return !Log().empty(); }));
  std::vector<std::string> words = absl::StrSplit(std::string(absl::StripSuffix(Log(), "\n")), ' ');
  absl::StatusOr<ProcessId> grandchild = IdentifyProcess(std::atoi(words.back().c_str()));
  ASSERT_TRUE(grandchild.ok());
  ASSERT_TRUE(SignalProcess(*state->shim, SIGKILL).ok());
  ASSERT_TRUE(Eventually([&] { return !IsAlive(*state->child) && !IsAlive(*state->shim); }));
  EXPECT_TRUE(IsAlive(*grandchild));
  EndLeftovers(spec_.run_dir);
  EXPECT_FALSE(IsAlive(*grandchild));
  EXPECT_FALSE(Exists(group));
  ASSERT_TRUE(Start("exec sleep 62").ok());
  EXPECT_TRUE(Exists(group));
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM}}).ok());
  EXPECT_FALSE(Exists(group));
}

TEST_F(ShimTest, TimeThatAComponentRan_IsMeasured) {
  ASSERT_TRUE(Start("exec sleep 0.2").ok());
  ShimState state = Ended();
  ASSERT_TRUE(state.exit.has_value());
  EXPECT_GE(state.exit->ran, absl::Milliseconds(150));
  EXPECT_LT(state.exit->ran, absl::Seconds(10));
}

TEST_F(ShimTest, ComponentOfAnotherShim_OutlivesTheOneThatLaunchedIt) {
  // A component that launches another one, as pgctld does with PostgreSQL.
  LaunchSpec inner = spec_;
  inner.name = "inner/zone1";
  inner.run_dir = JoinPath(root_, "inner");
  inner.argv = {"/bin/sh", "-c", "echo $MULTIGRES_COMPONENT; exec sleep 60"};
  inner.environment.push_back("MULTIGRES_COMPONENT=test/zone1");
  ASSERT_TRUE(MakeDirectories(inner.run_dir, 0700).ok());
  // Its launch file comes from here; the component starts the inner shim by hand.
  ASSERT_TRUE(Launch(shim_, inner).ok());
  ASSERT_TRUE(StopAndWait(inner.run_dir, {{.signal = SIGKILL}}).ok());
  ASSERT_TRUE(Start(absl::StrCat("setsid ", shim_, " ", inner.run_dir, " >/dev/null 2>&1 3>&1 & exec sleep 60")).ok());
  ASSERT_TRUE(Eventually([&] { return ReadShimState(inner.run_dir).child_alive; }));
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM, .whole_tree = true}}).ok());
  EXPECT_TRUE(ReadShimState(inner.run_dir).child_alive);
  EXPECT_NE(Log().find(" stdout F inner/zone1\n"), std::string::npos) << Log();
  EXPECT_TRUE(StopAndWait(inner.run_dir, {{.signal = SIGTERM}}).ok());
}

TEST_F(ShimTest, SignalToTheShim_StopsItsComponentByTheGivenLadder) {
  spec_.stop = {{.signal = SIGINT, .wait = absl::Seconds(20)}};
  absl::StatusOr<ShimState> state = Start("trap 'exit 3' INT; trap '' TERM; echo ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(Eventually([&] { return Log().find("ready") != std::string::npos; }));
  for (int signal : {SIGHUP, SIGQUIT, SIGUSR1, SIGTSTP, SIGTTOU}) {
    ASSERT_TRUE(SignalProcess(*state->shim, signal).ok());
  }
  for (int i = 0; i < 20; ++i) {
    (void)SignalProcess(*state->shim, i % 2 == 0 ? SIGTERM : SIGINT);
  }
  ShimState ended = Ended();
  ASSERT_TRUE(ended.exit.has_value());
  EXPECT_EQ(ended.exit->exit_code, 3);
}

TEST_F(ShimTest, ComponentThatIsStopped_HearsTheLadderAllTheSame) {
  absl::StatusOr<ShimState> state = Start("trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(Eventually([&] { return Log().find("ready") != std::string::npos; }));
  ASSERT_TRUE(SignalProcess(*state->child, SIGSTOP).ok());
  ASSERT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM, .wait = absl::Seconds(20)}}).ok());
  EXPECT_EQ(ReadShimState(spec_.run_dir).exit->exit_code, 4);
}

TEST_F(ShimTest, StrayThatIgnoresTerm_IsKilledAndTheEndIsStillToldSoon) {
  absl::Time began = absl::Now();
  ASSERT_TRUE(Start("(trap '' TERM; setsid sleep 61) & sleep 0.1; exit 5").ok());
  ShimState ended = Ended();
  ASSERT_TRUE(ended.exit.has_value());
  EXPECT_EQ(ended.exit->exit_code, 5);
  EXPECT_LT(absl::Now() - began, absl::Seconds(3));
  EXPECT_EQ(Marked().size(), 0u);
}

TEST_F(ShimTest, OutputOfAnyBytes_IsKept) {
  ASSERT_TRUE(Start("printf 'a\\000b\\377c\\r\\n'; printf '%040000d\\n' 7; printf '\\n'").ok());
  Ended();
  std::string log = Log();
  EXPECT_NE(log.find(std::string(" stdout F a\0b\377c\r\n", 17)), std::string::npos);
  EXPECT_NE(log.find(" stdout P 0000"), std::string::npos);
  EXPECT_NE(log.find("00007\n"), std::string::npos);
  EXPECT_NE(log.find(" stdout F \n"), std::string::npos);
}

TEST_F(ShimTest, MuchOutputThenAnImmediateEnd_IsCompleteAndInOrder) {
  spec_.log_max_bytes = 4 << 20;
  spec_.log_max_files = 100;
  absl::StatusOr<ShimState> state = Start("seq 1 200000");
  ASSERT_TRUE(state.ok());
  Ended();
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(spec_.log_dir)) {
    if (entry.path().extension() == ".log") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());  // digits come before current.log
  EXPECT_GT(files.size(), 2u);
  int expected = 1;
  for (const std::string& file : files) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line); ++expected) {
      ASSERT_EQ(line.substr(40), std::to_string(expected)) << file;
    }
  }
  EXPECT_EQ(expected, 200001);
}

TEST_F(ShimTest, FullDisk_NeitherBlocksNorKillsAndIsTold) {
  ASSERT_EQ(::mkfifo((root_ + "/go").c_str(), 0600), 0);
  if (::mount("none", spec_.log_dir.c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "only root may mount";
  }
  // Five times the disk; and what waits in a pipe, with its times, goes into the room that is made.
  absl::StatusOr<ShimState> state = Start("seq -f %0100.0f 1 100000; echo done > " + root_ + "/done; read -r go < " +
                                          root_ + "/go; echo the last; exec sleep 60");
  bool went_on = Eventually([&] { return Exists(root_ + "/done"); });
  EXPECT_EQ(::truncate((spec_.log_dir + "/current.log").c_str(), 0), 0);
  std::ofstream(root_ + "/go") << "\n";
  bool told = Eventually([&] { return Log().find(" lines were lost ") != std::string::npos; });
  std::string log = Log();
  bool caught_up = Eventually([&] { return Log().find(" stdout F the last\n") != std::string::npos; });
  EXPECT_TRUE(StopAndWait(spec_.run_dir, {{.signal = SIGTERM}}).ok());
  ::umount(spec_.log_dir.c_str());
  EXPECT_TRUE(state.ok());
  EXPECT_TRUE(went_on);
  EXPECT_TRUE(told) << log;
  EXPECT_TRUE(caught_up);
}

}  // namespace
}  // namespace mg::shim
