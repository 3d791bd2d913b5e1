#include "tests/model/protocol_model.h"

#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <utility>

#include "absl/strings/str_join.h"

namespace mg::model {
namespace {

/// With a crash, and with writes that only the old leader has: together larger than what can be looked through here.
constexpr Bounds kCrash{.last_term = 3, .writes = 1, .crashes = 1};
constexpr Bounds kDivergence{.last_term = 3, .writes = 1, .crashes = 0, .unreplicated = 3};

/// A member removed, a member taken in, a policy that asks for less, and one that asks for more.
constexpr std::array<std::pair<Rule, Rule>, 4> kChanges{{{Rule::kTwoOfThree, Rule::kTwoOfTwo},
                                                         {Rule::kTwoOfTwo, Rule::kTwoOfThree},
                                                         {Rule::kTwoOfThree, Rule::kOneOfThree},
                                                         {Rule::kOneOfThree, Rule::kTwoOfThree}}};
Bounds Change(std::pair<Rule, Rule> change) {
  return {.last_term = 3, .writes = 1, .crashes = 0, .rule = change.first, .changed_to = change.second};
}

TEST(Protocol, WhenTheRuleIsChangedMeanwhile_NoAcknowledgedWriteIsLost) {
  for (const auto& change : kChanges) {
    Exploration all = Explore(Change(change), {});
    EXPECT_TRUE(all.exhausted) << all.states << " states, and more";
    EXPECT_EQ(absl::StrJoin(all.broken, "\n"), "");
    EXPECT_GT(all.states, 100'000) << "the model has lost most of what it could do";
    std::printf("%d to %d: %lld states\n", static_cast<int>(change.first), static_cast<int>(change.second),
                static_cast<long long>(all.states));
  }
}

TEST(Protocol, WhateverHappens_NoAcknowledgedWriteIsLost) {
  for (const Bounds& bounds : {kCrash, kDivergence}) {
    Exploration all = Explore(bounds, {});
    EXPECT_TRUE(all.exhausted) << all.states << " states, and more";
    EXPECT_EQ(absl::StrJoin(all.broken, "\n"), "");
    EXPECT_GT(all.states, 500'000) << "the model has lost most of what it could do";
    RecordProperty("states", static_cast<int>(all.states));
  }
}

class GuardTest : public ::testing::TestWithParam<Guard> {};

TEST_P(GuardTest, WhenItIsLeftOut_AWriteIsLost) {
  bool of_change = GetParam() == Guard::kChangeCountsTwice || GetParam() == Guard::kChangeIsMet;
  Bounds bounds = GetParam() == Guard::kRulesBeforeLsn ? kDivergence : of_change ? Change(kChanges[2]) : kCrash;
  Exploration without = Explore(bounds, {GetParam()});
  EXPECT_FALSE(without.broken.empty()) << "nothing went wrong in " << without.states
                                       << " states: either the guard is not needed, or the model cannot see why";
  std::printf("without '%s':\n  %s\n", NameOf(GetParam()).c_str(), absl::StrJoin(without.broken, "\n  ").c_str());
}

INSTANTIATE_TEST_SUITE_P(All, GuardTest, ::testing::ValuesIn(AllGuards()), [](const auto& instance) {
  std::string name;
  for (char c : NameOf(instance.param)) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name;
});

}  // namespace
}  // namespace mg::model
