#include "agentd/operations/registry.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "absl/time/clock.h"
#include "common/status/status.h"

namespace mg::operations {
namespace {

/// The result, waited for by the feed as a reader does.
v1::OperationResult ResultOf(const std::shared_ptr<Operation>& operation) {
  struct Signal {
    std::mutex mutex;
    std::condition_variable changed;
  };
  // Shared, for a wake may still be under way when the subscription has ended.
  auto signal = std::make_shared<Signal>();
  auto handle = operation->feed().Subscribe([signal] {
    std::lock_guard<std::mutex> lock(signal->mutex);
    signal->changed.notify_all();
  });
  std::unique_lock<std::mutex> lock(signal->mutex);
  EXPECT_TRUE(signal->changed.wait_for(lock, std::chrono::seconds(30), [&] { return operation->feed().closed(); }));
  return operation->result().value_or(v1::OperationResult());
}

Registry::Body UntilCancelled() {
  return [](provisioners::OperationContext& context) -> absl::StatusOr<bool> {
    return context.cancel->WaitUntil(context.deadline) ? absl::Status(absl::CancelledError("stopped"))
                                                       : absl::Status(absl::DeadlineExceededError("too late"));
  };
}

Registry::Body AtOnce(bool unchanged = false) {
  return [unchanged](provisioners::OperationContext&) -> absl::StatusOr<bool> { return unchanged; };
}

Registry::Request Ask(const std::string& kind, Registry::Body body, const std::string& subject = "",
                      const std::string& key = "/c") {
  return {.kind = kind, .cluster = "default", .key = key, .subject = subject, .body = std::move(body)};
}

class RegistryTest : public ::testing::Test {
 protected:
  std::shared_ptr<Operation> Begin(Registry::Request request) {
    absl::StatusOr<std::shared_ptr<Operation>> operation = registry_.Begin(std::move(request));
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? *operation : nullptr;
  }
  Registry registry_{[](const Operation&) {}};
};

TEST_F(RegistryTest, Begin_WhenTheBodySucceeds_NewsAreNumberedAndEndWithTheResult) {
  auto operation = Begin(Ask("up", [](provisioners::OperationContext& context) -> absl::StatusOr<bool> {
    v1::StepProgress step;
    step.set_id("etcd");
    context.step(step);
    context.message("bad \xFF byte");
    return true;
  }));
  EXPECT_TRUE(ResultOf(operation).unchanged());
  auto batch = operation->feed().ReadAfter(0, 100);
  ASSERT_EQ(batch.items.size(), 4u);  // its name, a step, a message, the result
  for (size_t i = 0; i < batch.items.size(); ++i) {
    EXPECT_EQ(batch.items[i].second.sequence(), static_cast<std::int64_t>(i + 1));
    EXPECT_EQ(batch.items[i].second.operation_id(), operation->identity().id);
  }
  EXPECT_EQ(batch.items[1].second.progress().step().id(), "etcd");
  EXPECT_EQ(batch.items[2].second.progress().message(), "bad \xEF\xBF\xBD byte");
  EXPECT_TRUE(batch.items[3].second.progress().has_result());
}

TEST_F(RegistryTest, Begin_WhenTheBodyFails_TheResultHasTheWholeFailure) {
  auto operation = Begin(Ask("up", [](provisioners::OperationContext&) -> absl::StatusOr<bool> {
    return MakeError(absl::StatusCode::kFailedPrecondition, "no",
                     {.reason = "R", .hint = "h", .subject = "etcd", .log_tail = {"a"}});
  }));
  v1::Failure failure = ResultOf(operation).failure();
  EXPECT_EQ(failure.code(), 9);
  EXPECT_EQ(failure.reason(), "R");
  EXPECT_EQ(failure.hint(), "h");
  EXPECT_EQ(failure.component(), "etcd");
  EXPECT_EQ(failure.last_lines_size(), 1);
}

TEST_F(RegistryTest, Begin_WhenAnUpIsUnderWay_ASecondUpJoinsIt) {
  auto first = Begin(Ask("up", UntilCancelled()));
  EXPECT_EQ(Begin(Ask("up", AtOnce())), first);
  EXPECT_NE(Begin(Ask("up", AtOnce(), "", "/other")), first) << "another cluster is none of its business";
  first->Cancel("enough");
  EXPECT_EQ(ResultOf(first).failure().reason(), "CANCELLED");
}

TEST_F(RegistryTest, Begin_WhenAnUpIsUnderWay_DownCancelsItAndThenRuns) {
  auto up = Begin(Ask("up", UntilCancelled()));
  std::atomic<bool> up_had_ended = false;
  auto down = Begin(Ask("down", [&](provisioners::OperationContext&) -> absl::StatusOr<bool> {
    up_had_ended = up->result().has_value();
    return false;
  }));
  EXPECT_FALSE(ResultOf(down).has_failure());
  EXPECT_TRUE(up_had_ended);
  EXPECT_EQ(up->result()->failure().code(), static_cast<int>(absl::StatusCode::kCancelled));
  EXPECT_EQ(up->result()->failure().message(), "up was cancelled: down was asked for");
}

TEST_F(RegistryTest, Begin_WhenADownIsUnderWay_ACleanOneRunsAfterItAndAnUpIsRefused) {
  auto down = Begin(Ask("down", UntilCancelled()));
  absl::Status busy = registry_.Begin(Ask("up", AtOnce())).status();
  EXPECT_EQ(busy.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(DetailOf(busy)->reason, "CLUSTER_BUSY");
  auto clean = Begin(Ask("down", AtOnce(), "clean"));
  EXPECT_NE(clean, down);
  EXPECT_FALSE(down->cancel().cancelled());
  EXPECT_EQ(Begin(Ask("down", AtOnce(), "clean")), clean);
  EXPECT_EQ(Begin(Ask("down", AtOnce())), clean) << "a clean one does what a plain one does";
  down->Cancel("enough");
  EXPECT_FALSE(ResultOf(clean).has_failure());
}

TEST_F(RegistryTest, Begin_WhenSomethingElseIsUnderWay_IsRefusedAsBusy) {
  auto start = Begin(Ask("start", UntilCancelled(), "etcd"));
  EXPECT_EQ(Begin(Ask("start", AtOnce(), "etcd")), start);
  EXPECT_TRUE(absl::IsAborted(registry_.Begin(Ask("start", AtOnce(), "multiadmin")).status()));
  EXPECT_TRUE(absl::IsAborted(registry_.Begin(Ask("up", AtOnce())).status()));
  start->Cancel("enough");
}

TEST_F(RegistryTest, Begin_WhenTheParentIsUnderWay_RunsBesideIt) {
  auto up = Begin(Ask("up", UntilCancelled()));
  Registry::Request part = Ask("provision-database", AtOnce());
  part.options.set_parent_operation_id(up->identity().id);
  EXPECT_FALSE(ResultOf(Begin(std::move(part))).has_failure());
  EXPECT_FALSE(up->result().has_value());
  EXPECT_EQ(registry_.UnderWay("/c"), up);
  up->Cancel("enough");
}

TEST_F(RegistryTest, Begin_WhenTheIdempotencyKeyIsKnown_JoinsEvenWhatHasEnded) {
  Registry::Request request = Ask("up", AtOnce());
  request.options.set_idempotency_key("k");
  auto first = Begin(request);
  ResultOf(first);
  EXPECT_EQ(Begin(request), first);
  request.kind = "down";
  EXPECT_EQ(registry_.Begin(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RegistryTest, Begin_WhenATimeoutIsGiven_TheDeadlineObeysIt) {
  Registry::Request request = Ask("up", UntilCancelled());
  request.options.mutable_timeout()->set_nanos(20'000'000);
  EXPECT_EQ(ResultOf(Begin(std::move(request))).failure().code(),
            static_cast<int>(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(RegistryTest, List_WhenManyHaveEnded_KeepsTheNewest) {
  std::shared_ptr<Operation> last;
  for (size_t i = 0; i < Registry::kKeptEnded + 10; ++i) {
    last = Begin(Ask("up", AtOnce()));
    ResultOf(last);
  }
  auto list = registry_.List("");
  EXPECT_LE(list.size(), Registry::kKeptEnded + 1);
  EXPECT_EQ(list.front(), last);
  EXPECT_TRUE(registry_.List("/other").empty());
  EXPECT_TRUE(registry_.Find(last->identity().id).ok());
  EXPECT_TRUE(absl::IsNotFound(registry_.Find("nonsense").status()));
}

TEST_F(RegistryTest, Stop_WhenSomethingRuns_CancelsItAndRefusesWhatComes) {
  auto up = Begin(Ask("up", UntilCancelled()));
  registry_.Stop();
  EXPECT_EQ(ResultOf(up).failure().message(), "up was cancelled: the agent ends");
  EXPECT_TRUE(absl::IsUnavailable(registry_.Begin(Ask("up", AtOnce())).status()));
}

}  // namespace
}  // namespace mg::operations
