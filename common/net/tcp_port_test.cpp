#include "common/net/tcp_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/fs/unique_fd.h"
#include "common/net/port_reservation.h"

namespace mg::net {
namespace {

struct Listener {
  UniqueFd fd;
  int port = 0;
};

Listener Listen(in_addr_t address = INADDR_LOOPBACK) {
  Listener listener;
  listener.fd = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(address);
  EXPECT_EQ(bind(listener.fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  EXPECT_EQ(listen(listener.fd.get(), 4), 0);
  socklen_t size = sizeof(name);
  getsockname(listener.fd.get(), reinterpret_cast<sockaddr*>(&name), &size);
  listener.port = ntohs(name.sin_port);
  return listener;
}

TEST(IsPortFree_, WhenSomebodyListens_IsFalseUntilTheyStop) {
  Listener listener = Listen();
  EXPECT_FALSE(IsPortFree(listener.port));
  listener.fd.Reset();
  EXPECT_TRUE(IsPortFree(listener.port));
}

TEST(IsPortFree_, WhenSomebodyListensOnAllAddresses_IsFalse) {
  Listener listener = Listen(INADDR_ANY);
  EXPECT_FALSE(IsPortFree(listener.port));
}

TEST(HolderOf_, WhenThisProcessListens_NamesIt) {
  Listener listener = Listen(INADDR_ANY);
  std::optional<PortHolder> holder = HolderOf(listener.port);
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->pid, getpid());
  EXPECT_EQ(holder->name, "net_test");
  EXPECT_EQ(DescribeHolder(holder), absl::StrCat("net_test (pid ", getpid(), ")"));
}

TEST(HolderOf_, WhenNobodyListens_IsNothing) {
  int port = Listen().port;
  EXPECT_FALSE(HolderOf(port));
}

TEST(PortReservation_, WhenHeld_RefusesASecondHolderUntilReleased) {
  int port = Listen().port;
  std::optional<PortReservation> first = PortReservation::TryAcquire(port);
  ASSERT_TRUE(first);
  EXPECT_FALSE(PortReservation::TryAcquire(port));
  first.reset();
  EXPECT_TRUE(PortReservation::TryAcquire(port));
}

}  // namespace
}  // namespace mg::net
