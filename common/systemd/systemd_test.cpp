#include "common/systemd/systemd.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "gtest/gtest.h"

namespace mg::systemd {
namespace {

TEST(TakeListenFdsTest, WhatIsAnotherProcesss_IsLeftAlone) {
  auto none = TakeListenFds({});
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
  auto others = TakeListenFds({{"LISTEN_FDS", "1"}, {"LISTEN_PID", "1"}});
  ASSERT_TRUE(others.ok());
  EXPECT_TRUE(others->empty());
}

TEST(TakeListenFdsTest, WhatMakesNoSense_IsAnError) {
  std::string pid = absl::StrCat(::getpid());
  EXPECT_FALSE(TakeListenFds({{"LISTEN_FDS", "many"}, {"LISTEN_PID", pid}}).ok());
  EXPECT_FALSE(TakeListenFds({{"LISTEN_FDS", "-1"}, {"LISTEN_PID", pid}}).ok());
}

class NotifierTest : public testing::Test {
 protected:
  NotifierTest() {
    char name[] = "/tmp/mg-notify-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/notify";
    fd_.Reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~NotifierTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }
  std::string Next() {
    char buffer[512];
    ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    return n < 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }
  std::string directory_, path_;
  UniqueFd fd_;
};

TEST_F(NotifierTest, SaysEachWordInItsForm) {
  Notifier notifier(Environment{{"NOTIFY_SOCKET", path_}});
  EXPECT_TRUE(notifier.active());
  notifier.Ready("serving");
  EXPECT_EQ(Next(), "READY=1\nSTATUS=serving");
  notifier.Status("2 clusters");
  EXPECT_EQ(Next(), "STATUS=2 clusters");
  notifier.Watchdog();
  EXPECT_EQ(Next(), "WATCHDOG=1");
  notifier.Stopping();
  EXPECT_EQ(Next().substr(0, 10), "STOPPING=1");
}

TEST_F(NotifierTest, WithoutSystemd_DoesNothing) {
  Notifier notifier(Environment{});
  EXPECT_FALSE(notifier.active());
  notifier.Ready("serving");
  EXPECT_EQ(Next(), "");
  EXPECT_EQ(notifier.watchdog(), absl::InfiniteDuration());
}

TEST_F(NotifierTest, Watchdog_IsOnlyForTheProcessThatItNames) {
  EXPECT_EQ(Notifier(Environment{{"WATCHDOG_USEC", "3000000"}}).watchdog(), absl::Seconds(3));
  EXPECT_EQ(Notifier(Environment{{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", "1"}}).watchdog(),
            absl::InfiniteDuration());
  EXPECT_EQ(Notifier(Environment{{"WATCHDOG_USEC", "x"}}).watchdog(), absl::InfiniteDuration());
}

}  // namespace
}  // namespace mg::systemd
