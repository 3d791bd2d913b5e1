#include "agentd/provisioners/local/executor.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "common/status/status.h"

namespace mg::local {
namespace {

class ExecutorTest : public ::testing::Test {
 protected:
  ExecutorTest() {
    context_.deadline = absl::Now() + absl::Seconds(30);
    context_.cancel = &cancel_;
    context_.step = [this](const provisioners::v1::StepProgress& step) {
      std::lock_guard lock(mutex_);
      if (step.state() == provisioners::v1::STEP_STATE_PENDING) {
        announced_.push_back(step.id());
      } else if (step.state() != provisioners::v1::STEP_STATE_RUNNING) {
        ended_.push_back(step.id());
      }
    };
  }
  static Step Doing(const std::string& id, std::vector<std::string> after, bool skipped = false) {
    return {.id = id, .group = "g", .after = std::move(after), .run = [skipped](const Halt&) {
              return absl::StatusOr<StepOutcome>(StepOutcome{.skipped = skipped});
            }};
  }
  static Step WaitingForHalt(const std::string& id) {
    return {.id = id, .group = "g", .after = {}, .run = [](const Halt& halt) -> absl::StatusOr<StepOutcome> {
              bool halted = halt.WaitUntil(absl::Now() + absl::Seconds(20));
              return halted ? absl::CancelledError("halted") : absl::InternalError("was not halted");
            }};
  }
  provisioners::CancelToken cancel_;
  provisioners::OperationContext context_;
  std::mutex mutex_;
  std::vector<std::string> announced_, ended_;
};

TEST_F(ExecutorTest, WhenStepsDependOnEachOther_RunsThemInOrder) {
  absl::StatusOr<bool> unchanged =
      Execute({Doing("c", {"b", "not-here"}), Doing("b", {"a"}), Doing("a", {})}, context_);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  EXPECT_FALSE(*unchanged);
  EXPECT_EQ(announced_, (std::vector<std::string>{"c", "b", "a"})) << "in the order of the plan";
  EXPECT_EQ(ended_, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(ExecutorTest, WhenEveryStepWasSkipped_SaysUnchanged) {
  EXPECT_TRUE(*Execute({Doing("a", {}, true), Doing("b", {"a"}, true)}, context_));
}

TEST_F(ExecutorTest, WhenAStepFails_CallsTheOthersOffAndGivesItsError) {
  Step failing{.id = "bad", .group = "g", .after = {}, .run = [](const Halt&) -> absl::StatusOr<StepOutcome> {
                 return absl::InternalError("no luck");
               }};
  absl::StatusOr<bool> result = Execute({WaitingForHalt("slow"), failing, Doing("later", {"bad"})}, context_);
  EXPECT_EQ(std::string(result.status().message()), "no luck");
  EXPECT_EQ(ended_, std::vector<std::string>{"bad"});
}

TEST_F(ExecutorTest, WhenCancelled_EndsEarly) {
  std::thread canceller([this] { cancel_.Cancel(); });
  absl::StatusOr<bool> result = Execute({WaitingForHalt("slow")}, context_);
  canceller.join();
  EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
}

TEST_F(ExecutorTest, WhenTheTimeIsUp_NamesWhatWasUnderWay) {
  context_.deadline = absl::Now() + absl::Milliseconds(20);
  absl::StatusOr<bool> result = Execute({WaitingForHalt("slow"), Doing("quick", {})}, context_);
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status()));
  EXPECT_EQ(std::string(result.status().message()), "not ready in time: slow");
  EXPECT_EQ(DetailOf(result.status())->subject, "slow");
}

}  // namespace
}  // namespace mg::local
