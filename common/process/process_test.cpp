#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/process/helper.h"
#include "common/process/process_id.h"
#include "common/process/scan.h"
#include "gtest/gtest.h"

namespace mg {
namespace {

TEST(ProcessId, OfThisProcess_IsAlive) {
  absl::StatusOr<ProcessId> id = IdentifyProcess(::getpid());
  ASSERT_TRUE(id.ok());
  EXPECT_TRUE(IsAlive(*id));
  EXPECT_GE(UptimeSeconds(*id), 0);
}

TEST(ProcessId, ReusedPidOrOtherBoot_IsNotAliveAndNotSignalled) {
  ProcessId id = *IdentifyProcess(::getpid());
  ProcessId older = id;
  older.start_ticks -= 1;
  EXPECT_FALSE(IsAlive(older));
  EXPECT_EQ(SignalProcess(older, SIGKILL).code(), absl::StatusCode::kNotFound);
  ProcessId before_boot = id;
  before_boot.boot_id = "another";
  EXPECT_FALSE(IsAlive(before_boot));
  EXPECT_EQ(SignalProcess(before_boot, SIGKILL).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(IdentifyProcess(0).ok());
  EXPECT_FALSE(IdentifyProcess(1 << 30).ok());
}

TEST(Helper, GivesOutputAndExitStatus) {
  absl::StatusOr<HelperResult> result = RunHelper({.argv = {"sh", "-c", "cat; echo err >&2; echo $MG_TEST; exit 3"},
                                                   .environment = {"MG_TEST=v"},
                                                   .standard_input = "in\n"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->standard_output, "in\nv\n");
  EXPECT_EQ(result->standard_error, "err\n");
}

TEST(Helper, LargeOutputOnBothPipes_DoesNotBlock) {
  absl::StatusOr<HelperResult> result =
      RunHelper({.argv = {"sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->standard_output.size(), 1000000u);
  EXPECT_EQ(result->standard_error.size(), 1000000u);
}

TEST(Helper, ThatDoesNotEnd_IsStoppedEvenWhenSignalsAreBlockedHere) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  absl::Time began = absl::Now();
  absl::StatusOr<HelperResult> result = RunHelper({.argv = {"sleep", "60"}, .timeout = absl::Milliseconds(100)});
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - began, absl::Seconds(1.5));
}

TEST(Helper, FailureNamesTheProgramAndItsLastLines) {
  absl::Status status = RunHelperOk({.argv = {"sh", "-c", "echo no space >&2; exit 1"}}).status();
  EXPECT_EQ(status.message(), "sh failed with exit status 1: no space");
  EXPECT_EQ(RunHelper({.argv = {"no-such-program-here"}}).status().code(), absl::StatusCode::kNotFound);
}

TEST(Helper, AsAnotherUser_WhenRoot) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root may change users";
  }
  absl::StatusOr<HelperResult> result = RunHelperOk({.argv = {"id", "-un"}, .run_as = "nobody"});
  // nobody's group has another name (nogroup); the numeric ids work everywhere.
  if (!result.ok()) {
    result = RunHelperOk({.argv = {"id", "-un"}, .run_as = "daemon"});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->standard_output, "daemon\n");
  } else {
    EXPECT_EQ(result->standard_output, "nobody\n");
  }
}

}  // namespace
TEST(Helper, GrandchildThatHoldsThePipes_DoesNotHoldUs) {
  absl::Time began = absl::Now();
  absl::StatusOr<HelperResult> result = RunHelper({.argv = {"/bin/sh", "-c", "sleep 20 & echo $!"}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  ::kill(std::atoi(result->standard_output.c_str()), SIGKILL);
}

TEST(Helper, TimeOut_EndsWhatTheHelperRuns) {
  std::string mark = absl::StrCat("MULTIGRES_TEST=", ::getpid());
  absl::StatusOr<HelperResult> result = RunHelper(
      {.argv = {"/bin/sh", "-c", "sleep 20; true"}, .environment = {mark}, .timeout = absl::Milliseconds(300)});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  absl::Time deadline = absl::Now() + absl::Seconds(5);
  while (!ProcessesWithEnvironment(mark).empty() && absl::Now() < deadline) {
    ::poll(nullptr, 0, 5);
  }
  EXPECT_EQ(ProcessesWithEnvironment(mark).size(), 0u);
}

TEST(FindProgram, ADirectoryIsNone) { EXPECT_FALSE(FindProgram("/usr/bin").ok()); }

TEST(ReapIfOurs, TakesExactlyTheGivenEndedChild) {
  pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
  }
  absl::StatusOr<ProcessId> id = IdentifyProcess(pid);
  ASSERT_TRUE(id.ok());
  ReapIfOurs(*id);  // it runs
  EXPECT_TRUE(IsAlive(*id));
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  ProcessId other = *id;
  other.start_ticks += 1;
  ReapIfOurs(other);
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  ReapIfOurs(*id);
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);
}

}  // namespace mg
