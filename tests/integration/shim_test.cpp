#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/shim_protocol/shim.h"
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
  spec_.run_as = "no-such-user-here";
  EXPECT_EQ(Start("id").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ShimTest, IdleShims_ShareAllButLittleMemory) {
  absl::StatusOr<ShimState> state = Start("exec sleep 60");
  ASSERT_TRUE(state.ok());
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
}

}  // namespace
}  // namespace mg::shim
