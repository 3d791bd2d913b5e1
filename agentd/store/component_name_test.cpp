#include "agentd/store/component_name.h"

#include <gtest/gtest.h>

namespace mg::store {
namespace {

TEST(ComponentName_, WhenWellFormed_ParsesAndPrintsTheSame) {
  for (const char* text : {"etcd", "multiadmin", "multipooler/zone1", "postgres/eu-west", "pgctld/zone2/shop"}) {
    absl::StatusOr<ComponentName> name = ComponentName::Parse(text);
    ASSERT_TRUE(name.ok()) << text << ": " << name.status();
    EXPECT_EQ(name->ToString(), text);
  }
}

TEST(ComponentName_, WhenTheKindIsUnknown_IsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ComponentName::Parse("nosuch/zone1").status()));
  EXPECT_TRUE(absl::IsNotFound(ComponentName::Parse("").status()));
}

TEST(ComponentName_, WhenThePartsDoNotFitTheKind_IsInvalid) {
  for (const char* text : {"multipooler", "etcd/zone1", "multiorch/", "multiorch//shop", "pgctld/a/b/c"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ComponentName::Parse(text).status())) << text;
  }
}

TEST(ComponentsOf_, ForThreeCells_ListsSeventeenInTheOrderOfStart) {
  std::vector<ComponentName> names = ComponentsOf({"zone1", "zone2", "zone3"});
  ASSERT_EQ(names.size(), 17u);
  EXPECT_EQ(names[0].ToString(), "etcd");
  EXPECT_EQ(names[1].ToString(), "multiadmin");
  EXPECT_EQ(names[2].ToString(), "pgctld/zone1");
  EXPECT_EQ(names[16].ToString(), "multigateway/zone3");
}

}  // namespace
}  // namespace mg::store
