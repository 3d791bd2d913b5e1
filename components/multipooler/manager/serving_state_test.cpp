#include "components/multipooler/manager/serving_state.h"

#include <gtest/gtest.h>

#include <vector>

namespace mg::multipooler {
namespace {

TEST(ServingState, WhenSubscribed_TellsThePresentValueAndEachChangeOnce) {
  ServingState state;
  state.Set({.mode = ServingMode::kReadOnly});
  std::vector<Serving> seen;
  auto subscription = state.Subscribe([&](const Serving& serving) { seen.push_back(serving); });
  state.Set({.mode = ServingMode::kReadOnly});
  state.Set({.mode = ServingMode::kReadWrite, .coordinator_term = 2});
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].mode, ServingMode::kReadOnly);
  EXPECT_EQ(seen[1].coordinator_term, 2);
}

TEST(ServingState, WhenSubscriptionHasGone_CallsNobody) {
  ServingState state;
  int calls = 0;
  state.Subscribe([&](const Serving&) { ++calls; }).reset();
  state.Set({.mode = ServingMode::kReadWrite});
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(state.current().mode, ServingMode::kReadWrite);
}

}  // namespace
}  // namespace mg::multipooler
