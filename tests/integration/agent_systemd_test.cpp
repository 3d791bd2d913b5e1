// The agent as systemd runs it: a socket that it inherits, and word of its state.
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "gtest/gtest.h"
#include "tests/integration/agent_sandbox.h"

namespace mg::tests {
namespace {

UniqueFd Bound(const std::string& path, int type) {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << path;
  ::chmod(path.c_str(), 0600);
  return fd;
}

class AgentSystemdTest : public testing::Test {
 protected:
  AgentSystemdTest() : notify_(Bound(sandbox_.directory() + "/notify", SOCK_DGRAM)) {}

  /// As systemd does it: the socket is descriptor 3, LISTEN_PID is the service's own pid.
  pid_t Start(int listener, const std::string& more = "") {
    std::string script = absl::StrCat("export LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET=", sandbox_.directory(),
                                      "/notify ", more, "; exec ", sandbox_.program());
    std::vector<std::string> environment;
    for (const auto& [name, value] : sandbox_.environment()) {
      environment.push_back(absl::StrCat(name, "=", value));
    }
    std::vector<char*> variables;
    for (std::string& variable : environment) {
      variables.push_back(variable.data());
    }
    variables.push_back(nullptr);
    std::string sh = "sh", c = "-c";
    char* argv[] = {sh.data(), c.data(), script.data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, listener, 3);
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawn(&pid, "/bin/sh", &actions, nullptr, argv, variables.data()), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  /// The next datagram that contains `word`; empty after 20 s.
  std::string Heard(const std::string& word) {
    absl::Time deadline = absl::Now() + absl::Seconds(20);
    for (;;) {
      pollfd wait = {.fd = notify_.get(), .events = POLLIN};
      if (::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now()))) != 1) {
        return "";
      }
      char buffer[1024];
      ssize_t n = ::recv(notify_.get(), buffer, sizeof buffer, 0);
      std::string message(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0)));
      if (absl::StrContains(message, word)) {
        return message;
      }
    }
  }
  int EndOf(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status;
  }

  AgentSandbox sandbox_;
  UniqueFd notify_;
};

TEST_F(AgentSystemdTest, AnInheritedSocket_IsServedAndLeftToItsOwner) {
  UniqueFd listener = Bound(sandbox_.socket(), SOCK_STREAM);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  pid_t pid = Start(listener.get());
  EXPECT_TRUE(absl::StrContains(Heard("READY=1"), "STATUS=serving 0 clusters"));
  EXPECT_EQ(sandbox_.AgentPid(), pid);

  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_NE(Heard("STOPPING=1"), "");
  EXPECT_EQ(EndOf(pid), 0);
  EXPECT_TRUE(Exists(sandbox_.socket())) << "the socket is systemd's, and activates the next one";

  // Who comes in between waits in the socket's queue, and is served by the next agent.
  pid_t next = 0;
  auto client = sandbox_.Connect(/*start=*/false);
  ASSERT_TRUE(client.ok()) << client.status();
  next = Start(listener.get());
  auto info = (*client)->Call(cli::agent::GetInfoRequest(), absl::Now() + absl::Seconds(20));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->pid(), next);
  ASSERT_EQ(::kill(next, SIGTERM), 0);
  EXPECT_EQ(EndOf(next), 0);
}

TEST_F(AgentSystemdTest, TheWatchdog_IsFed) {
  UniqueFd listener = Bound(sandbox_.socket(), SOCK_STREAM);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  pid_t pid = Start(listener.get(), "WATCHDOG_USEC=400000 WATCHDOG_PID=$$");
  EXPECT_NE(Heard("READY=1"), "");
  EXPECT_NE(Heard("WATCHDOG=1"), "");
  EXPECT_NE(Heard("WATCHDOG=1"), "");
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_EQ(EndOf(pid), 0);
}

TEST_F(AgentSystemdTest, ASocketElsewhere_IsRefusedWithBothPaths) {
  UniqueFd listener = Bound(sandbox_.directory() + "/other.sock", SOCK_STREAM);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  EXPECT_NE(EndOf(Start(listener.get())), 0);
  EXPECT_FALSE(Exists(sandbox_.socket()));
}

}  // namespace
}  // namespace mg::tests
