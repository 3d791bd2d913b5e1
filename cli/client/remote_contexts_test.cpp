#include "cli/client/remote_contexts.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "common/fs/fs.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace mg::cli {
namespace {

using multigres::cli::v1::RemoteContext;

class RemoteContextsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mg-contexts-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    home_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  RemoteContexts Open() { return *RemoteContexts::Open({{"MULTIGRES_HOME", home_}, {"HOME", home_}}); }
  static RemoteContext Make(const std::string& name, const std::string& endpoint) {
    RemoteContext context;
    context.set_name(name);
    context.set_endpoint(endpoint);
    return context;
  }
  static std::string Reason(const absl::Status& status) { return DetailOf(status).value_or(ErrorDetail{}).reason; }

  std::string home_;
};

TEST_F(RemoteContextsTest, WithoutAny_LocalIsChosen_AndNothingIsMade) {
  EXPECT_EQ(Open().Chosen("").value(), "");
  EXPECT_TRUE(Open().List().value().empty());
  EXPECT_FALSE(std::filesystem::exists(home_ + "/contexts"));
}

TEST_F(RemoteContextsTest, AddedWithAToken_KeepsItInAPrivateFile_AndRemoveTakesBoth) {
  ASSERT_TRUE(Open().Add(Make("prod", "127.0.0.1:15070"), "mgt_secret").ok());
  struct stat info {};
  ASSERT_EQ(::stat((home_ + "/contexts/prod.token").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(ReadFile(home_ + "/contexts/prod.json")->find("mgt_secret"), std::string::npos);
  EXPECT_TRUE(DialRemote(Open().Get("prod").value()).ok());
  ASSERT_TRUE(Open().Use("prod").ok());
  EXPECT_EQ(Open().Chosen("").value(), "prod");
  ASSERT_TRUE(Open().Remove("prod").ok());
  EXPECT_EQ(Open().Chosen("").value(), "");
  EXPECT_FALSE(std::filesystem::exists(home_ + "/contexts/prod.token"));
}

TEST_F(RemoteContextsTest, UnknownName_SuggestsTheNearest) {
  ASSERT_TRUE(Open().Add(Make("production", "127.0.0.1:1"), "").ok());
  absl::Status status = Open().Chosen("prodaction").status();
  EXPECT_EQ(Reason(status), "CONTEXT_NOT_FOUND");
  EXPECT_EQ(DetailOf(status)->hint, "did you mean 'production'?");
  EXPECT_EQ(Reason(Open().Use("x")), "CONTEXT_NOT_FOUND");
}

TEST_F(RemoteContextsTest, TheSameNameTwice_IsRefused) {
  ASSERT_TRUE(Open().Add(Make("a", "h:1"), "").ok());
  EXPECT_EQ(Reason(Open().Add(Make("a", "h:2"), "")), "CONTEXT_EXISTS");
}

TEST_F(RemoteContextsTest, BadNamesEndpointsAndTokens_AreRefused_AndLeaveNothing) {
  for (const char* name : {"", "local", "../x", "a/b", "a b", "-x", ".x", "a\r\n"}) {
    EXPECT_FALSE(Open().Add(Make(name, "h:1"), "").ok()) << name;
  }
  for (const char* endpoint : {"", "h", "h:", ":1", "h:0", "h:65536", "h:x", "unix:/tmp/x", "h\r\nx:1", "http://h:1"}) {
    EXPECT_FALSE(Open().Add(Make("a", endpoint), "").ok()) << endpoint;
  }
  for (const char* token : {"two words", "line\nbreak", "\x80"}) {
    EXPECT_EQ(Reason(Open().Add(Make("a", "127.0.0.1:1"), token)), "BAD_FILE") << token;
  }
  EXPECT_TRUE(Open().List().value().empty());
}

TEST_F(RemoteContextsTest, ABrokenFile_HidesNoOther_AndCanBeRemoved) {
  ASSERT_TRUE(Open().Add(Make("good", "127.0.0.1:1"), "").ok());
  for (const char* content : {"{", "{\"endpoint\": \"nowhere\"}", ""}) {
    ASSERT_TRUE(WriteFileAtomically(home_ + "/contexts/bad.json", content).ok());
    ASSERT_TRUE(WriteFileAtomically(home_ + "/contexts/current", "bad\n").ok());
    std::vector<RemoteContexts::Entry> entries = Open().List().value();
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[0].context.name(), "bad");
    EXPECT_EQ(Reason(entries[0].usable), "BAD_FILE");
    EXPECT_EQ(entries[1].context.endpoint(), "127.0.0.1:1");
    EXPECT_TRUE(Open().Get("good").ok());
    EXPECT_EQ(Reason(Open().Get("bad").status()), "BAD_FILE");
    EXPECT_EQ(Reason(Open().Chosen("").status()), "BAD_FILE");
    EXPECT_EQ(Open().ChosenName("").value(), "bad");
    EXPECT_EQ(Reason(Open().Add(Make("bad", "127.0.0.1:1"), "")), "CONTEXT_EXISTS");
    ASSERT_TRUE(Open().Remove("bad").ok());
    EXPECT_EQ(Open().Chosen("").value(), "");
    EXPECT_EQ(Open().List()->size(), 1u);
  }
}

TEST_F(RemoteContextsTest, ATokenWithoutTls_GoesToThisMachineOnly) {
  EXPECT_EQ(Reason(Open().Add(Make("far", "db.example.com:15070"), "t")), "TOKEN_IN_CLEAR");
  EXPECT_FALSE(std::filesystem::exists(home_ + "/contexts/far.token"));
  EXPECT_TRUE(Open().Add(Make("near", "localhost:15070"), "t").ok());
}

TEST_F(RemoteContextsTest, ATokenFileThatOthersMayRead_IsRefused) {
  std::string path = home_ + "/token";
  ASSERT_TRUE(WriteFileAtomically(path, " t0k3n \n", 0644).ok());
  EXPECT_EQ(Reason(ReadTokenFile(path).status()), "FILE_NOT_PRIVATE");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(ReadTokenFile(path).value(), "t0k3n");
  EXPECT_EQ(Reason(ReadTokenFile(home_ + "/nowhere").status()), "FILE_NOT_FOUND");
}

}  // namespace
}  // namespace mg::cli
