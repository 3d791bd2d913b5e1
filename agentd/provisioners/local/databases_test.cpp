#include "agentd/provisioners/local/databases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "agentd/provisioners/local/model_for_tests.h"
#include "common/fs/fs.h"

namespace mg::local {
namespace {

TEST(CheckDatabaseName_, TakesWhatCanBeAPartOfPathsAndNames) {
  for (const char* good : {"a", "shop", "shop_2", "a-b", "abcdefghijklmnopqrstuvwxyz01234567890123-_"}) {
    bool fits = std::string(good).size() <= 40;
    EXPECT_EQ(CheckDatabaseName(good).ok(), fits) << good;
  }
  for (const char* bad : {"", "Shop", "1shop", "-shop", "_shop", "a.b", "a/b", "a b", "a\nb", "\xc3\xa4", "..",
                          "template1", "template0", "postgres", "multigres"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckDatabaseName(bad))) << bad;
  }
}

class DatabasesTest : public ::testing::Test {
 protected:
  DatabasesTest() {
    AddDatabase(&model_.input, "shop", {"zone1", "zone2"});
    model_.specs = MakeSpecs(model_.input);
  }
  Model model_ = ModelForTests(3);
};

TEST_F(DatabasesTest, TheDefaultOneAndUnknownOnes_AreRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckLater(model_, "")));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckLater(model_, model_.input.config.database)));
  absl::Status unknown = CheckLater(model_, "shops");
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_TRUE(CheckLater(model_, "shop").ok());
}

TEST_F(DatabasesTest, WhatGoes_IsTheDatabasesOwn) {
  v1::ListDatabaseDataResponse response = ListDatabaseData(model_, "shop");
  EXPECT_EQ(response.components_size(), 6);
  EXPECT_TRUE(std::all_of(response.components().begin(), response.components().end(),
                          [](const std::string& name) { return name.ends_with("/shop"); }));
  EXPECT_EQ(response.backup_directory(), "/srv/mg/data/backups/shop.20260105T093011Z");
  EXPECT_FALSE(response.needs_backup()) << "it never had data";
  model_.input.databases[0].initialised = true;
  EXPECT_TRUE(ListDatabaseData(model_, "shop").needs_backup());
  model_.input.databases[0].leaving = true;
  EXPECT_FALSE(ListDatabaseData(model_, "shop").needs_backup()) << "it was made before it began to leave";
}

}  // namespace
}  // namespace mg::local
