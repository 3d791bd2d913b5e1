#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "absl/time/clock.h"
#include "agentd/provisioners/contract.h"

namespace mg::provisioners {
namespace {

TEST(CancelToken, WhenCancelled_WakesAWaiterAndItsDescriptorIsReadable) {
  CancelToken token;
  pollfd readable = {.fd = token.fd(), .events = POLLIN};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
  bool woken = false;
  std::thread waiter([&] { woken = token.WaitUntil(absl::Now() + absl::Seconds(30)); });
  token.Cancel();
  token.Cancel();
  waiter.join();
  EXPECT_TRUE(woken);
  EXPECT_EQ(::poll(&readable, 1, 0), 1);
  EXPECT_TRUE(token.WaitUntil(absl::InfinitePast()));
}

TEST(CancelToken, WhenNotCancelled_WaitsUntilTheDeadline) {
  CancelToken token;
  absl::Time start = absl::Now();
  EXPECT_FALSE(token.WaitUntil(start + absl::Milliseconds(20)));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(20));
}

}  // namespace
}  // namespace mg::provisioners
