/// The frame of a server process, by multiadmin as the smallest one: start, refusals, and an orderly end.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"
#include "tests/integration/child_process.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

class ServenvTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mg-servenv-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  /// Nobody listens at that topology: a reader starts without it.
  std::vector<std::string> Argv(std::vector<std::string> more) {
    std::vector<std::string> argv = {LibexecProgram("multiadmin"), "--topo-global-server-addresses=127.0.0.1:1",
                                     "--topo-global-root=/x"};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  /// Exit status and output of one that does not stay.
  std::string Refusal(const std::vector<std::string>& more) {
    std::string log = directory_ + "/refusal";
    ::unlink(log.c_str());
    ChildProcess process(Argv(more), log);
    std::optional<int> status = process.Wait();
    return absl::StrCat(status.value_or(-1), " ", *ReadFile(log));
  }
  std::string directory_;
};

TEST_F(ServenvTest, EndsOrderlyBySignal) {
  for (int signal : {SIGTERM, SIGINT}) {
    std::string pid_file = directory_ + "/pid", socket = directory_ + "/grpc.sock";
    ChildProcess process(Argv({absl::StrCat("--pid-file=", pid_file), absl::StrCat("--grpc-socket-file=", socket),
                               "--service-map=grpc-multiadmin"}),
                         directory_ + "/log");
    ASSERT_TRUE(Eventually([&] { return Exists(pid_file) && Exists(socket); }));
    EXPECT_EQ(*ReadFile(pid_file), absl::StrCat(process.pid(), "\n"));
    process.Signal(signal);
    EXPECT_EQ(process.Wait(), 0) << *ReadFile(directory_ + "/log");
    EXPECT_FALSE(Exists(pid_file));
  }
  EXPECT_NE(ReadFile(directory_ + "/log")->find("service ended"), std::string::npos);
}

TEST_F(ServenvTest, PortThatIsTaken_IsAnError) {
  int http = FreePort(), grpc = FreePort();
  ChildProcess first(Argv({absl::StrCat("--http-port=", http), absl::StrCat("--grpc-port=", grpc),
                           absl::StrCat("--pid-file=", directory_, "/pid")}),
                     directory_ + "/log");
  ASSERT_TRUE(Eventually([&] { return Exists(directory_ + "/pid"); })) << *ReadFile(directory_ + "/log");
  std::string refusal = Refusal({absl::StrCat("--http-port=", http)});
  EXPECT_EQ(refusal.substr(0, 2), "1 ");
  EXPECT_NE(refusal.find(absl::StrCat(http, ": the port is taken")), std::string::npos) << refusal;
  refusal = Refusal({absl::StrCat("--grpc-port=", grpc)});
  EXPECT_EQ(refusal.substr(0, 2), "1 ");
  EXPECT_NE(refusal.find(absl::StrCat("gRPC port ", grpc, ": the port is taken")), std::string::npos) << refusal;
}

TEST_F(ServenvTest, WhatItCannotDo_ItSaysAndEnds) {
  EXPECT_EQ(Refusal({"--grpc-crl=x"}), "1 Error: --grpc-crl is not implemented\n");
  EXPECT_NE(Refusal({"--no-such-flag"}).find("no-such-flag"), std::string::npos);
  EXPECT_EQ(Refusal({"--http-port=many"}).substr(0, 2), "1 ");
  std::string help = Refusal({"--help"});
  EXPECT_EQ(help.substr(0, 2), "0 ");
  EXPECT_NE(help.find("--service-map"), std::string::npos);
  EXPECT_NE(Refusal({"--builtin-info"}).find("\"builtin\":true"), std::string::npos);
  std::string nowhere = Refusal({absl::StrCat("--pid-file=", directory_, "/none/pid")});
  EXPECT_EQ(nowhere.substr(0, 2), "1 ");
  EXPECT_NE(nowhere.find("--pid-file"), std::string::npos);
}

}  // namespace
}  // namespace mg::tests
