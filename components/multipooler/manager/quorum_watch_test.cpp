#include "components/multipooler/manager/quorum_watch.h"

#include <gtest/gtest.h>

#include "common/consensus/position.h"

namespace mg::multipooler {
namespace {

clustermetadata::ID Node(const char* cell, const char* name) {
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIPOOLER);
  id.set_cell(cell);
  id.set_name(name);
  return id;
}

class QuorumWatchTest : public ::testing::Test {
 protected:
  QuorumWatchTest() {
    clustermetadata::ShardRule& rule = *view.rule.mutable_decision();
    *rule.mutable_rule_number() = consensus::MakeRuleNumber(2, 0);
    for (const char* cell : {"zone1", "zone2", "zone3"}) {
      *rule.add_cohort_members() = Node(cell, "p");
    }
    rule.mutable_durability_policy()->set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
    rule.mutable_durability_policy()->set_required_count(2);
    watch.Lead(rule.rule_number(), At(0));
  }
  static absl::Time At(int seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

  PostgresView view;
  QuorumWatch watch{Node("zone1", "p")};
};

TEST_F(QuorumWatchTest, AWriteThatOneStandbyHas_ConfirmsItsBegin) {
  watch.Wrote(At(1), 100);
  watch.Wrote(At(2), 200);
  view.followers = {{.name = "zone2_p", .flushed = 150}, {.name = "zone3_p", .flushed = 50}};
  watch.Saw(view, At(3));
  EXPECT_EQ(watch.confirmed(), At(1));
  view.followers[1].flushed = 200;
  watch.Saw(view, At(4));
  EXPECT_EQ(watch.confirmed(), At(2));
}

TEST_F(QuorumWatchTest, WithoutStandbys_NothingIsConfirmed) {
  watch.Wrote(At(1), 100);
  watch.Saw(view, At(3));
  EXPECT_EQ(watch.confirmed(), At(0));
}

TEST_F(QuorumWatchTest, WhoIsNotOfTheCohort_DoesNotCount) {
  watch.Wrote(At(1), 100);
  view.followers = {{.name = "zone4_p", .flushed = 100},
                    {.name = "pg_basebackup", .flushed = 100},
                    {.name = "zone1_p", .flushed = 100}};
  watch.Saw(view, At(3));
  EXPECT_EQ(watch.confirmed(), At(0));
}

TEST_F(QuorumWatchTest, APolicyOfTwoCells_WantsAnotherCell) {
  clustermetadata::ShardRule& rule = *view.rule.mutable_decision();
  *rule.add_cohort_members() = Node("zone1", "q");
  rule.mutable_durability_policy()->set_quorum_type(clustermetadata::QUORUM_TYPE_MULTI_CELL_AT_LEAST_N);
  watch.Wrote(At(1), 100);
  view.followers = {{.name = "zone1_q", .flushed = 100}};
  watch.Saw(view, At(3));
  EXPECT_EQ(watch.confirmed(), At(0));
  view.followers.push_back({.name = "zone2_p", .flushed = 100});
  watch.Saw(view, At(4));
  EXPECT_EQ(watch.confirmed(), At(1));
}

TEST_F(QuorumWatchTest, LongWithoutAnAnswer_TheLatestWriteStillConfirms) {
  for (int i = 1; i <= 1000; ++i) {
    watch.Wrote(At(i), static_cast<std::uint64_t>(i));
  }
  view.followers = {{.name = "zone2_p", .flushed = 1000}};
  watch.Saw(view, At(1001));
  EXPECT_EQ(watch.confirmed(), At(1000));
}

TEST_F(QuorumWatchTest, ANewRule_BeginsAnew_TheSameDoesNot) {
  watch.Lead(consensus::MakeRuleNumber(2, 0), At(5));
  EXPECT_EQ(watch.confirmed(), At(0));
  watch.Lead(consensus::MakeRuleNumber(3, 0), At(5));
  EXPECT_EQ(watch.confirmed(), At(5));
}

}  // namespace
}  // namespace mg::multipooler
