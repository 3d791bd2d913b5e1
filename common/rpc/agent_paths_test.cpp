#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

class AgentPathsTest : public ::testing::Test {
 protected:
  AgentPathsTest() {
    char name[] = "/tmp/mg-rpc-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~AgentPathsTest() override { (void)RemoveTree(directory_); }
  std::string directory_;
};

TEST_F(AgentPathsTest, FindAgentPaths_WhenNothingIsSet_IsInTmp) {
  AgentPaths paths = FindAgentPaths("", "", 1000, "/home/u/.local/share/multigres", "/home/u/.local/share/multigres");
  EXPECT_EQ(paths.directory, "/tmp/multigres-1000");
  EXPECT_EQ(paths.socket, "/tmp/multigres-1000/agent.sock");
  EXPECT_EQ(paths.discovery, "/tmp/multigres-1000/agent.json");
}

TEST_F(AgentPathsTest, FindAgentPaths_WhenTheRuntimeDirectoryIsOurs_IsBelowIt) {
  EXPECT_EQ(FindAgentPaths("", directory_, ::geteuid(), "/h", "/h").socket, directory_ + "/multigres/agent.sock");
  EXPECT_EQ(FindAgentPaths("", directory_, ::geteuid() + 1, "/h", "/h").directory,
            "/tmp/multigres-" + std::to_string(::geteuid() + 1));
}

TEST_F(AgentPathsTest, FindAgentPaths_WhenTheHomeIsNotTheDefault_HasItsHash) {
  AgentPaths paths = FindAgentPaths("", "", 7, "abc", "/default");
  EXPECT_EQ(paths.socket, "/tmp/multigres-7/agent-ba7816bf.sock");  // FIPS 180-2, appendix B.1
  EXPECT_EQ(paths.discovery, "/tmp/multigres-7/agent-ba7816bf.json");
}

TEST_F(AgentPathsTest, FindAgentPaths_WhenOverridden_TakesThat) {
  AgentPaths paths = FindAgentPaths("/x/my.sock", directory_, ::geteuid(), "/h", "/d");
  EXPECT_EQ(paths.directory, "/x");
  EXPECT_EQ(paths.discovery, "/x/my.json");
}

TEST_F(AgentPathsTest, VerifyPrivateDirectory_WhenOthersMayEnter_Refuses) {
  EXPECT_TRUE(VerifyPrivateDirectory(directory_).ok());
  ASSERT_EQ(::chmod(directory_.c_str(), 0711), 0);
  EXPECT_EQ(VerifyPrivateDirectory(directory_).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(VerifyPrivateDirectory(directory_ + "/none").code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(::symlink(directory_.c_str(), (directory_ + "/link").c_str()), 0);
  EXPECT_EQ(VerifyPrivateDirectory(directory_ + "/link").code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(AgentPathsTest, ConnectPrivate_WhenNobodyListens_SaysThatItIsStale) {
  EXPECT_EQ(ConnectPrivate(directory_ + "/s").status().code(), absl::StatusCode::kNotFound);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (directory_ + "/s").c_str());
  {
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_TRUE(ConnectPrivate(directory_ + "/s").ok());
  }
  absl::Status stale = ConnectPrivate(directory_ + "/s").status();
  EXPECT_EQ(stale.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(DetailOf(stale)->reason, "STALE_SOCKET");
}

TEST_F(AgentPathsTest, PrivateListener_WhenTheSocketIsStale_ReplacesItAndRemovesItAtTheEnd) {
  std::string path = directory_ + "/s";
  {
    auto first = PrivateListener::Open(path);
    ASSERT_TRUE(first.ok()) << first.status();
    auto second = PrivateListener::Open(path);  // as after a kill -9: the file is there
    ASSERT_TRUE(second.ok()) << second.status();
    first->reset();
    EXPECT_TRUE(Exists(path)) << "the former listener must not remove its successor's socket";
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(Exists(path));
}

TEST_F(AgentPathsTest, PrivateListener_WhenThePathIsTooLongOrTaken_SaysSo) {
  EXPECT_EQ(PrivateListener::Open(directory_ + "/" + std::string(110, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/file", "x").ok());
  EXPECT_EQ(PrivateListener::Open(directory_ + "/file").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Exists(directory_ + "/file"));
}

}  // namespace
}  // namespace mg::rpc
