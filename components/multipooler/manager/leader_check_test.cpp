#include "components/multipooler/manager/leader_check.h"

#include <gtest/gtest.h>

#include "common/consensus/policy.h"
#include "common/consensus/position.h"

namespace mg::multipooler {
namespace {

clustermetadata::ID Node(const std::string& name) {
  clustermetadata::ID id;
  id.set_cell("zone" + name);
  id.set_name(name);
  return id;
}

clustermetadata::ShardRule Rule(const std::vector<std::string>& cohort) {
  clustermetadata::ShardRule rule;
  *rule.mutable_rule_number() = consensus::MakeRuleNumber(4, 0);
  *rule.mutable_leader_id() = Node("a");
  *rule.mutable_durability_policy() = *consensus::PolicyByName("AT_LEAST_2");
  for (const std::string& name : cohort) {
    *rule.add_cohort_members() = Node(name);
  }
  return rule;
}

NodeAnswer Says(const std::string& name, std::int64_t rule, std::int64_t promised) {
  return {.id = Node(name), .highest = consensus::MakeRuleNumber(rule, 0), .promised_term = promised};
}

TEST(LeaderCheck, WhenTheOthersCouldHaveBeenRecruited_TheLeadersWordIsNotEnough) {
  clustermetadata::ShardRule rule = Rule({"a", "b", "self"});
  EXPECT_TRUE(CheckInForce(rule, {Says("self", 0, 4), Says("a", 4, 4), Says("b", 3, 4)}).ok()) << "b lags";
  EXPECT_TRUE(CheckInForce(rule, {Says("self", 0, 3), Says("a", 4, 4)}).ok()) << "b alone is no quorum";
  EXPECT_TRUE(absl::IsUnavailable(CheckInForce(rule, {Says("a", 4, 4)}))) << "without promises of its own";
  rule = Rule({"a", "b", "c", "d", "self"});
  *rule.mutable_durability_policy() = *consensus::PolicyByName("AT_LEAST_3");
  EXPECT_TRUE(absl::IsUnavailable(CheckInForce(rule, {Says("self", 0, 4), Says("a", 4, 4)}))) << "b may follow c";
  EXPECT_TRUE(CheckInForce(rule, {Says("self", 0, 4), Says("a", 4, 4), Says("c", 4, 4)}).ok());
}

TEST(LeaderCheck, WhenSomebodyKnowsOfSomethingNewer_TheLeaderIsNotTrusted) {
  clustermetadata::ShardRule rule = Rule({"a", "b", "self"});
  auto check = [&](const NodeAnswer& b, const NodeAnswer& self) {
    return CheckInForce(rule, {self, Says("a", 4, 4), b});
  };
  EXPECT_TRUE(absl::IsFailedPrecondition(check(Says("b", 4, 5), Says("self", 0, 4))));
  EXPECT_TRUE(absl::IsFailedPrecondition(check(Says("b", 5, 4), Says("self", 0, 4))));
  EXPECT_TRUE(absl::IsFailedPrecondition(check(Says("b", 4, 4), Says("self", 0, 5)))) << "its own promise";
}

}  // namespace
}  // namespace mg::multipooler
