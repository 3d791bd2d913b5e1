#include "common/fs/fs.h"

#include <sys/stat.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace mg {
namespace {

class FsTest : public testing::Test {
 protected:
  FsTest() {
    char name[] = "/tmp/mg-fs.XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~FsTest() override { EXPECT_TRUE(RemoveTree(root_).ok()); }
  std::string Path(absl::string_view name) const { return JoinPath(root_, name); }
  std::string root_;
};

TEST_F(FsTest, AtomicWrite_ReplacesContentAndSetsMode) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "one", 0644).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "two", 0600).ok());
  EXPECT_EQ(*ReadFile(Path("f")), "two");
  struct stat info {};
  ASSERT_EQ(::stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(FsTest, AtomicWrite_IntoMissingDirectory_IsNotFound) {
  EXPECT_EQ(WriteFileAtomically(Path("no/f"), "x").code(), absl::StatusCode::kNotFound);
}

TEST_F(FsTest, PrivateDirectory_RefusesASymlink) {
  ASSERT_TRUE(MakeDirectories(Path("real"), 0700).ok());
  ASSERT_EQ(::symlink(Path("real").c_str(), Path("link").c_str()), 0);
  EXPECT_FALSE(EnsurePrivateDirectory(Path("link")).ok());
  EXPECT_TRUE(EnsurePrivateDirectory(Path("real")).ok());
}

TEST_F(FsTest, PrivateDirectory_ThatIsTooOpen_IsClosed) {
  ASSERT_TRUE(MakeDirectories(Path("open"), 0777).ok());
  ASSERT_TRUE(EnsurePrivateDirectory(Path("open")).ok());
  struct stat info {};
  ASSERT_EQ(::stat(Path("open").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(FsTest, PrivateDirectory_ThatIsTooClosed_IsOpenedAsFarAsAsked) {
  ASSERT_TRUE(MakeDirectories(Path("closed"), 0700).ok());
  ASSERT_TRUE(EnsurePrivateDirectory(Path("closed"), 0711).ok());
  struct stat info {};
  ASSERT_EQ(::stat(Path("closed").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0711u);
}

TEST_F(FsTest, Lock_HeldTwice_NamesTheHolder) {
  absl::StatusOr<FileLock> first = FileLock::TryAcquire(Path("lock"));
  ASSERT_TRUE(first.ok());
  absl::StatusOr<FileLock> second = FileLock::TryAcquire(Path("lock"));
  ASSERT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find(std::to_string(::getpid())), absl::string_view::npos);
}

TEST_F(FsTest, RemoveTree_DoesNotFollowSymlinks) {
  ASSERT_TRUE(MakeDirectories(Path("keep"), 0700).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("keep/f"), "x").ok());
  ASSERT_TRUE(MakeDirectories(Path("gone"), 0700).ok());
  ASSERT_EQ(::symlink(Path("keep").c_str(), Path("gone/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(Path("gone")).ok());
  EXPECT_TRUE(Exists(Path("keep/f")));
  EXPECT_FALSE(Exists(Path("gone")));
}

TEST_F(FsTest, TreeSize_CountsFilesOnce) {
  ASSERT_TRUE(MakeDirectories(Path("d/e"), 0700).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("d/a"), "12345").ok());
  ASSERT_TRUE(WriteFileAtomically(Path("d/e/b"), "123").ok());
  EXPECT_EQ(TreeSize(Path("d")), 8u);
  EXPECT_EQ(TreeSize(Path("nothing")), 0u);
}

}  // namespace
}  // namespace mg
