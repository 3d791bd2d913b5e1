#include "agentd/supervisor/supervisor.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/process/scan.h"

namespace mg::supervisor {
namespace {

bool Eventually(const std::function<bool()>& predicate, absl::Duration bound = absl::Seconds(15)) {
  absl::Time deadline = absl::Now() + bound;
  while (!predicate()) {
    if (absl::Now() > deadline) {
      return false;
    }
    ::poll(nullptr, 0, 5);
  }
  return true;
}

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() : shim_(JoinPath(std::getenv("MULTIGRES_BUILD_DIR"), "libexec/multigres/multigres-shim")) {
    char name[] = "/tmp/mg-supervisor.XXXXXX";
    root_ = ::mkdtemp(name);
    ::chmod(root_.c_str(), 0755);
    who_ = {.cluster = "test", .component = "thing", .run_dir = JoinPath(root_, "run")};
    EXPECT_TRUE(MakeDirectories(who_.run_dir, 0700).ok());
    EXPECT_TRUE(MakeDirectories(JoinPath(root_, "log"), 0700).ok());
    Make();
  }
  ~SupervisorTest() override {
    supervisor_.reset();
    EXPECT_TRUE(shim::StopAndWait(who_.run_dir, {{.signal = SIGKILL, .whole_tree = true}}).ok());
    EXPECT_TRUE(RemoveTree(root_).ok());
  }
  void Make() {
    supervisor_.reset();
    supervisor_ = std::make_unique<Supervisor>(shim_, [this](const News& news) {
      std::lock_guard lock(mutex_);
      types_.push_back(news.type);
    });
  }
  Care MakeCare(RestartPolicy policy) {
    return {.policy = policy,
            .hung_after = absl::Milliseconds(200),
            .starting_bound = absl::Seconds(5),
            .ladder = {{.signal = SIGTERM, .wait = absl::Seconds(1)}},
            .next_generation = [this]() -> absl::StatusOr<std::int64_t> { return ++generation_; },
            .make_spec = nullptr,
            .permanent_cause = [this](const shim::ShimState&) { return cause_; }};
  }
  shim::LaunchSpec SpecOf(const std::string& script) {
    shim::LaunchSpec spec;
    spec.name = "thing";
    spec.run_dir = who_.run_dir;
    spec.log_dir = JoinPath(root_, "log");
    spec.argv = {"/bin/sh", "-c", script};
    spec.environment = {"PATH=/usr/bin:/bin"};
    spec.working_directory = "/";
    spec.generation = ++generation_;
    return spec;
  }
  absl::StatusOr<shim::ShimState> Start(const std::string& script, RestartPolicy policy = RestartPolicy::kAlways) {
    shim::LaunchSpec spec = SpecOf(script);
    supervisor_->TakeCare(who_, MakeCare(policy));
    return supervisor_->Start(who_, spec);
  }
  pid_t Pid() const {
    shim::ShimState state = shim::ReadShimState(who_.run_dir);
    return state.child_alive ? state.child->pid : 0;
  }
  /// The pid of another process than `last`, once it runs; 0: not in time. (Asked once a look: it may end in between.)
  pid_t Next(pid_t last) const {
    pid_t now = 0;
    (void)Eventually([&] {
      now = Pid();
      return now != 0 && now != last;
    });
    return now == last ? 0 : now;
  }
  int Count(const std::string& type) {
    std::lock_guard lock(mutex_);
    return static_cast<int>(std::count(types_.begin(), types_.end(), type));
  }
  size_t Copies() const {
    return ProcessesWithEnvironment(absl::StrCat("MULTIGRES_SHIM_RUN_DIR=", who_.run_dir)).size();
  }
  View Look() const { return supervisor_->Look(who_.run_dir); }

  std::string shim_, root_, cause_;
  Watched who_;
  std::atomic<std::int64_t> generation_ = 0;
  std::mutex mutex_;
  std::vector<std::string> types_;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, WhatIsKilled_IsStartedAgainAtOnce) {
  ASSERT_TRUE(Start("exec sleep 1000").ok());
  pid_t first = Pid();
  ASSERT_NE(first, 0);
  absl::Time began = absl::Now();
  ::kill(first, SIGKILL);
  ASSERT_NE(Next(first), 0);
  EXPECT_LT(absl::Now() - began, absl::Seconds(1));
  EXPECT_TRUE(Eventually([&] { return Count("exited") == 1 && Count("started") == 2; }));
  EXPECT_EQ(generation_, 2);
}

TEST_F(SupervisorTest, WhatIsStopped_StaysStopped) {
  ASSERT_TRUE(Start("exec sleep 1000").ok());
  ASSERT_TRUE(supervisor_->Stop(who_, {{.signal = SIGTERM}}).ok());
  EXPECT_EQ(Pid(), 0);
  EXPECT_EQ(Look().state, State::kStopped);
  EXPECT_EQ(Count("stopped"), 1);
  EXPECT_EQ(Count("restarting"), 0);
}

TEST_F(SupervisorTest, WhatEndsAgainAndAgain_IsACrashLoopAndCanStillBeStopped) {
  ASSERT_TRUE(Start("exit 3").ok());
  ASSERT_TRUE(Eventually([&] { return Look().state == State::kCrashLooping; }, absl::Seconds(40)));
  EXPECT_NE(Look().reason.find("5 times"), std::string::npos) << Look().reason;
  EXPECT_NE(Look().reason.find("exited with status 3"), std::string::npos) << Look().reason;
  EXPECT_GT(Look().due, absl::Now() + absl::Seconds(20));
  ASSERT_TRUE(supervisor_->Stop(who_, {}).ok());
  EXPECT_EQ(Look().state, State::kStopped);
  EXPECT_EQ(Look().due, absl::InfiniteFuture());
}

TEST_F(SupervisorTest, ThePolicy_DecidesWhatFollowsAnEnd) {
  ASSERT_TRUE(Start("exit 1", RestartPolicy::kNever).ok());
  ASSERT_TRUE(Eventually([&] { return Look().state == State::kFailed; }));
  ASSERT_TRUE(Start("exit 0", RestartPolicy::kOnFailure).ok());
  ASSERT_TRUE(Eventually([&] { return Look().state == State::kFailed; }));
  EXPECT_EQ(generation_, 2);
}

TEST_F(SupervisorTest, APermanentCause_StopsItAtOnce) {
  cause_ = "its port is held by nginx (pid 7)";
  ASSERT_TRUE(Start("exit 1").ok());
  ASSERT_TRUE(Eventually([&] { return Look().state == State::kFailed; }));
  EXPECT_NE(Look().reason.find("nginx"), std::string::npos) << Look().reason;
  EXPECT_EQ(generation_, 1);
}

TEST_F(SupervisorTest, WhatDoesNotAnswer_IsReplaced) {
  ASSERT_TRUE(Start("exec sleep 1000").ok());
  pid_t first = Pid();
  ASSERT_NE(first, 0);
  supervisor_->Report(who_.run_dir, {.ready = absl::OkStatus()});
  EXPECT_EQ(Look().state, State::kRunning);
  ::kill(first, SIGSTOP);
  ASSERT_TRUE(Eventually([&] {
    absl::StatusOr<ProcessId> id = IdentifyProcess(first);
    return id.ok() && IsStopped(*id);
  }));
  ASSERT_TRUE(Eventually([&] {
    pid_t now = Pid();
    if (now == first) {
      supervisor_->Report(who_.run_dir, {.ready = absl::UnavailableError("silence"), .alive = false, .stopped = true});
    }
    return now != 0 && now != first;
  }));
  EXPECT_EQ(Count("not-answering"), 1);
}

TEST_F(SupervisorTest, WhatSomebodyElseStarts_IsEndedWhenItHangsAndLeftToThem) {
  ASSERT_TRUE(shim::Launch(shim_, SpecOf("exec sleep 1000")).ok());
  pid_t first = Pid();
  ASSERT_NE(first, 0);
  supervisor_->OnlyWatch(who_, /*wanted=*/true, absl::Milliseconds(200),
                         {{.signal = SIGTERM, .wait = absl::Seconds(1)}});
  ASSERT_TRUE(supervisor_->Adopt(who_, /*announce=*/true).shim_alive);
  // It recovers for a long time, and says so: no hang.
  supervisor_->Report(who_.run_dir, {.ready = absl::UnavailableError("the database system is starting up")});
  EXPECT_EQ(Count("not-answering"), 0);
  ::kill(first, SIGSTOP);
  ASSERT_TRUE(Eventually([&] {
    if (Pid() == first) {
      supervisor_->Report(who_.run_dir, {.ready = absl::UnavailableError("silence"), .alive = false, .stopped = true});
    }
    return Look().state == State::kFailed;
  }));
  EXPECT_EQ(Count("not-answering"), 1);
  EXPECT_EQ(Count("started"), 0);
  EXPECT_EQ(Pid(), 0);
}

TEST_F(SupervisorTest, TheLoop_GoesOnAfterTheAgentsDeath) {
  ASSERT_TRUE(Start("exec sleep 1000").ok());
  pid_t first = Pid();
  ASSERT_NE(first, 0);
  Make();
  supervisor_->TakeCare(who_, MakeCare(RestartPolicy::kAlways));
  supervisor_->Adopt(who_, /*announce=*/true);
  EXPECT_EQ(Pid(), first);
  ::kill(first, SIGKILL);
  pid_t second = Next(first);
  ASSERT_NE(second, 0);
  // It ends while nobody looks.
  supervisor_.reset();
  ::kill(second, SIGKILL);
  ASSERT_TRUE(Eventually([&] { return !shim::ReadShimState(who_.run_dir).shim_alive; }));
  Make();
  supervisor_->TakeCare(who_, MakeCare(RestartPolicy::kAlways));
  supervisor_->Resume(who_);
  ASSERT_NE(Next(second), 0);
  EXPECT_EQ(Copies(), 1u);
}

TEST_F(SupervisorTest, WhatAnOperationAttends_IsLeftToItUntilItIsOver) {
  {
    Supervisor::Attendance attendance(supervisor_.get(), who_.run_dir);
    ASSERT_TRUE(Start("exit 1").ok());
    ASSERT_TRUE(Eventually([&] { return Look().state == State::kFailed; }));
    EXPECT_EQ(generation_, 1);
  }
  EXPECT_TRUE(Eventually([&] { return generation_ > 1; }));
}

TEST_F(SupervisorTest, ManyKillsAndStops_NeverGiveASecondCopy) {
  unsigned seed = static_cast<unsigned>(absl::ToUnixMicros(absl::Now()));
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  ASSERT_TRUE(Start("exec sleep 1000").ok());
  for (int i = 0; i < 60; ++i) {
    switch (random() % 4) {
      case 0:
        if (pid_t pid = Pid(); pid != 0) {
          ::kill(pid, SIGKILL);
        }
        break;
      case 1:
        ASSERT_TRUE(supervisor_->Stop(who_, {{.signal = SIGTERM}}).ok());
        EXPECT_EQ(Copies(), 0u);
        break;
      case 2:
        ASSERT_TRUE(Start("exec sleep 1000").ok());
        break;
      case 3:
        Make();
        supervisor_->TakeCare(who_, MakeCare(RestartPolicy::kAlways));
        if (!supervisor_->Adopt(who_, false).shim_alive) {
          supervisor_->Resume(who_);
        }
        break;
    }
    ASSERT_LE(Copies(), 1u);
  }
  ASSERT_TRUE(Start("exec sleep 1000").ok());
  // The last one may have been killed just before, and be on its way back.
  EXPECT_TRUE(Eventually([&] { return Copies() == 1; }));
}

}  // namespace
}  // namespace mg::supervisor
