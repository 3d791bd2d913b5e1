#include "components/multiorch/bookkeeping.h"

#include <gtest/gtest.h>

#include "common/consensus/position.h"
#include "common/topology/topology.h"
#include "components/multiorch/test_nodes.h"

namespace mg::multiorch {
namespace {

/// Node 1 is the cohort; nodes 2 and 3 are not in it, and node 3 has shut down two days ago.
class BookkeepingTest : public testing::Test {
 protected:
  BookkeepingTest() {
    for (int i = 1; i <= 3; ++i) {
      clustermetadata::Multipooler& record = records_.emplace_back();
      *record.mutable_id() = Node(i);
      record.mutable_lifecycle_status()->set_status(clustermetadata::LIFECYCLE_ACTIVE);
      record.mutable_lifecycle_status()->mutable_updated()->set_seconds(absl::ToUnixSeconds(kNow - absl::Hours(48)));
      if (i < 3) {
        PoolerView& pooler = view_.poolers[topology::IdString(Node(i))];
        pooler.record = record;
        pooler.connected = true;
      }
    }
    records_[2].mutable_lifecycle_status()->set_status(clustermetadata::LIFECYCLE_SHUTDOWN);
    clustermetadata::ShardRule& rule = *view_.poolers[topology::IdString(Node(1))]
                                            .status.mutable_consensus_status()
                                            ->mutable_current_position()
                                            ->mutable_position()
                                            ->mutable_decision();
    *rule.mutable_rule_number() = consensus::MakeRuleNumber(1, 0);
    *rule.add_cohort_members() = Node(1);
  }

  std::vector<std::string> Names(absl::Duration watched = absl::Hours(5)) {
    std::vector<std::string> names;
    for (const clustermetadata::ID& id : Forgotten(records_, view_, kNow - watched, kNow)) {
      names.push_back(id.name());
    }
    return names;
  }

  std::vector<clustermetadata::Multipooler> records_;
  ShardView view_;
};

TEST_F(BookkeepingTest, WhoHasShutDownLongAgoIsForgotten) {
  EXPECT_EQ(Names(), (std::vector<std::string>{"p3"}));
  EXPECT_TRUE(Names(absl::Minutes(50)).empty()) << "it may just be about to register again";
  records_[2].mutable_lifecycle_status()->mutable_updated()->set_seconds(absl::ToUnixSeconds(kNow - absl::Hours(23)));
  EXPECT_TRUE(Names().empty());
}

TEST_F(BookkeepingTest, WhoIsSilentForHoursIsForgotten_UnlessItIsAMember) {
  for (int i = 1; i <= 2; ++i) {
    PoolerView& pooler = view_.poolers[topology::IdString(Node(i))];
    pooler.connected = false;
    pooler.unreachable_since = kNow - absl::Hours(4) - absl::Minutes(1);
  }
  EXPECT_EQ(Names(), (std::vector<std::string>{"p2", "p3"}));
  view_.poolers[topology::IdString(Node(2))].unreachable_since = kNow - absl::Hours(3);
  EXPECT_EQ(Names(), (std::vector<std::string>{"p3"}));
}

}  // namespace
}  // namespace mg::multiorch
