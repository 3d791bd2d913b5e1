#include "agentd/provisioners/local/layout.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agentd/provisioners/local/model_for_tests.h"
#include "agentd/provisioners/local/preflight.h"
#include "common/fs/fs.h"

namespace mg::local {
namespace {

// Nobody's: the directory for sockets of this user may be in use by clusters that run.
constexpr unsigned kUid = 3000000001;

class LayoutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/mg-layout-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(dir_).ok()); }
  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
  std::string dir_;
};

TEST_F(LayoutTest, PrepareFiles_MakesSecretsPrivateAndIsRepeatable) {
  Model model = ModelForTests(2, dir_ + "/root");
  model.input.config.postgres_password = "a:b\\c";
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(PrepareFiles(model, kUid).ok());
  }
  std::string pooler = model.input.paths.PoolerDir("bcdf2461");
  EXPECT_EQ(*ReadFile(store::PasswordFile(pooler)), "a:b\\c");
  EXPECT_EQ(ModeOf(store::PasswordFile(pooler)), 0600u);
  EXPECT_EQ(ModeOf(model.input.paths.Passfile()), 0600u);
  EXPECT_NE(ReadFile(model.input.paths.Passfile())->find("localhost:15433:*:postgres:a\\:b\\\\c\n"), std::string::npos);
  EXPECT_EQ(ModeOf(model.input.paths.AdminToken()), 0600u);
  std::string token = *ReadFile(model.input.paths.AdminToken());
  ASSERT_TRUE(PrepareFiles(model, kUid).ok());
  EXPECT_EQ(*ReadFile(model.input.paths.AdminToken()), token) << "one that is there stays";
  EXPECT_TRUE(Exists(model.input.paths.RunDir({store::kPostgres, "zone2", ""})));
  EXPECT_TRUE(Exists(model.input.paths.LogDir({.kind = store::kEtcd})));
}

TEST_F(LayoutTest, WhenPathsAreTooLong_SocketsGoToAShortDirectoryAndLeaveWithIt) {
  Model model = ModelForTests(1, dir_ + "/" + std::string(80, 'x'));
  std::string pooler = model.input.paths.PoolerDir("bcdf2461");
  SocketPlace place = SocketPlaceOf(model.place.root_dir, pooler, "zone1", kUid);
  ASSERT_TRUE(place.short_form);
  EXPECT_LE(place.postgres.size(), 60u);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(PrepareFiles(model, kUid).ok());
    EXPECT_TRUE(Exists(store::PostgresSockets(pooler)));
    char target[256];
    ssize_t size = readlink(store::PostgresSockets(pooler).c_str(), target, sizeof(target));
    EXPECT_EQ(std::string(target, static_cast<size_t>(std::max<ssize_t>(0, size))), place.postgres);
    ASSERT_TRUE(RemoveShortDirectory(model, kUid).ok());
    EXPECT_FALSE(Exists(ShortDirectory(model.place.root_dir, kUid)));
    struct stat info {};
    EXPECT_NE(lstat(store::PostgresSockets(pooler).c_str(), &info), 0);
  }
}

TEST_F(LayoutTest, WhenPathsAreShort_NothingIsMadeElsewhere) {
  SocketPlace place = SocketPlaceOf("/srv/mg", "/srv/mg/data/pooler_bcdf2461", "zone1", 0);
  EXPECT_FALSE(place.short_form);
  EXPECT_EQ(place.postgres, "/srv/mg/data/pooler_bcdf2461/pg_sockets");
}

TEST_F(LayoutTest, BlockedAt_NamesTheDirectoryThatAnotherUserCannotPass) {
  OsUser nobody{.name = "nobody", .uid = 65534, .gid = 65534, .groups = {65534}};
  std::string deep = dir_ + "/a/b";
  ASSERT_TRUE(MakeDirectories(deep, 0755).ok());
  ASSERT_EQ(chmod(dir_.c_str(), 0700), 0);
  EXPECT_EQ(BlockedAt(deep, nobody), dir_);
  ASSERT_EQ(chmod(dir_.c_str(), 0711), 0);
  EXPECT_EQ(BlockedAt(deep, nobody), "");
  EXPECT_EQ(BlockedAt(deep + "/not/there", nobody), "");
}

TEST_F(LayoutTest, Preflight_FindsAPathThatPostgresCannotPass) {
  Model model = ModelForTests(1, dir_ + "/root");
  model.input.root = true;
  model.input.config.run_as = "nobody";
  ASSERT_EQ(chmod(dir_.c_str(), 0700), 0);
  bool found = false;
  v1::ValidateClusterResponse response = Preflight(model, {}, 0);
  for (const v1::CheckResult& check : response.checks()) {
    if (check.check() == "user") {
      found = true;
      EXPECT_FALSE(check.ok());
      EXPECT_NE(check.detail().find(dir_), std::string::npos) << check.detail();
      EXPECT_FALSE(check.hint().empty());
    }
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace mg::local
